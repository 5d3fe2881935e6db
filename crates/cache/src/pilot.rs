//! Who brings a flight's bytes, and turns what was kept into a stored object.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_RANGE};

use crate::{
    account::{Charge, allocated},
    conditional,
    flight::{Abandoned, Cargo, Failure, Flight, Head, Interim, Truncated, Verdict},
    freshness::Terms,
    object::{
        self, BLOCK_OVERHEAD, Body, INLINE_MAX, Large, LargeBody, Object, Partial, Prefix, Recipe,
    },
    range::{ContentRange, Parts},
    slices::Sliced,
    storable::WhyNot,
    store::{Course, Store},
};

/// The first block of a body whose length nobody said; blocks grow from here.
const BLOCK_MIN: usize = 4 * 1024;

/// A full block: large enough that a gigabyte is 16,384 of them, small enough to waste little.
const BLOCK: usize = 64 * 1024;

/// The one who fetches. Dropping it ends the flight as a failure, so no reader waits for ever.
#[derive(Debug)]
pub struct Pilot {
    flight: Arc<Flight>,
    store: Arc<Store>,
    key: Box<[u8]>,
    /// It stands on the store's board.
    boarded: bool,
    joinable: bool,
    course: Course,
    /// The newest purge rule when it took off: what it brings is held against the later ones.
    purged_up_to: u32,
    keeping: Option<Keeping>,
}

/// A response on its way into the store.
#[derive(Debug)]
struct Keeping {
    head: Arc<Head>,
    /// What lies before the body in the object.
    prefix: Prefix,
    charge: Charge,
}

impl Pilot {
    /// Takes the controls of a flight for `key`, which stands on the store's board.
    pub(crate) fn new(
        flight: Arc<Flight>,
        store: Arc<Store>,
        key: &[u8],
        (joinable, course): (bool, Course),
        purged_up_to: u32,
    ) -> Self {
        Self {
            flight,
            store,
            key: key.into(),
            boarded: true,
            joinable,
            course,
            purged_up_to,
            keeping: None,
        }
    }

    /// Whether others may join.
    pub fn can_be_joined(&self) -> bool {
        self.joinable
    }

    /// Whom it waits for.
    pub const fn course(&self) -> Course {
        self.course
    }

    pub(crate) fn flies(&self, flight: &Arc<Flight>) -> bool {
        Arc::ptr_eq(&self.flight, flight)
    }

    /// What it brings is made of `object`, and is held against the purge rules that `object` was not.
    pub fn made_of(&mut self, object: &Object) {
        self.purged_up_to = self.purged_up_to.min(object.purged_up_to());
    }

    /// The key that is fetched.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Passes an interim response on to whoever waits.
    pub fn interim(&self, interim: Interim) {
        self.flight.interim(interim);
    }

    /// Announces the head. It is kept if the rules allow and there is room; what is not kept is for
    /// the first asker alone.
    pub fn head(&mut self, mut head: Head) {
        let key = self.store.key(&self.key);
        let prepared = head.stored.is_ok().then(|| self.prepare(&head)).flatten();
        if head.stored.is_ok() && prepared.is_none() {
            head.stored = Err(WhyNot::NoRoom);
        }
        self.store.note_stored(key, head.stored);
        let head = Arc::new(head);
        self.keeping =
            prepared.map(|(prefix, charge)| Keeping { head: Arc::clone(&head), prefix, charge });
        if self.keeping.is_none() {
            self.leave_board();
        }
        self.flight.decide(Verdict::Head(head), self.keeping.is_some());
    }

    /// What stands before the body in the store, and the charge for it; `None` if it is not to be
    /// kept for want of room.
    fn prepare(&self, head: &Head) -> Option<(Prefix, Charge)> {
        if head.length.unwrap_or(0) > self.store.object_max() {
            return None;
        }
        let prefix = self.recipe(head).prefix(|packed| self.store.share(packed))?;
        let key = self.store.key(&self.key);
        let charge = self.store.charge(key, object::cost(prefix.bytes.len()))?;
        Some((prefix, charge))
    }

    fn recipe<'a>(&'a self, head: &'a Head) -> Recipe<'a> {
        Recipe {
            key: &self.key,
            selecting: &head.selecting,
            vary: (!head.vary.is_empty()).then(|| Arc::clone(&head.vary)),
            status: head.status,
            fields: &head.fields,
            terms: head.terms,
            purged_up_to: self.purged_up_to,
        }
    }

    /// Brings bytes of the body. Then [`Self::room`] says when more may be brought.
    pub fn push(&mut self, bytes: &Bytes) {
        let kept = self.keep(bytes);
        if kept < bytes.len() {
            // Not to be kept, or no room for the rest: readers get it, the store does not.
            if let Some(keeping) = self.keeping.take() {
                self.leave_board();
                self.flight.stop_keeping(keeping.charge);
            }
            self.flight.pass(bytes.slice(kept..));
        }
    }

    /// Waits while the slowest reader of what is not kept is too far behind.
    ///
    /// # Errors
    /// If nobody is left who wants more.
    pub async fn room(&self) -> Result<(), Abandoned> {
        poll_fn(|cx| self.flight.poll_room(cx)).await
    }

    /// Cuts off the readers that others wait for: they have been waited for long enough.
    pub fn cut_slow(&self) {
        self.flight.cut_slow();
    }

    /// Appends to the kept body as much as there is room for in the store; says how much.
    fn keep(&mut self, bytes: &[u8]) -> usize {
        let Some(keeping) = &mut self.keeping else { return 0 };
        let key = self.store.key(&self.key);
        let mut kept = 0;
        while kept < bytes.len() {
            let held = self.flight.length();
            let mut room = self.flight.tail_room();
            if room == 0 {
                let rest = bytes.len() - kept;
                let wanted = match keeping.head.length {
                    Some(length) => usize::try_from(length - held.min(length)).unwrap_or(BLOCK),
                    None if held < BLOCK as u64 => rest.max(BLOCK_MIN),
                    None => BLOCK,
                };
                let left = usize::try_from(self.store.object_max().saturating_sub(held));
                room = wanted.clamp(1, BLOCK).min(left.unwrap_or(BLOCK));
                if room == 0 {
                    break;
                }
                // Charged first, allocated after.
                let Some(charge) = self.store.charge(key, allocated(room) + BLOCK_OVERHEAD) else {
                    break;
                };
                keeping.charge.merge(charge);
                self.flight.grow_tail(room);
            }
            let now = room.min(bytes.len() - kept);
            self.flight.append(&bytes[kept..kept + now]);
            kept += now;
        }
        kept
    }

    /// The body is complete: it becomes a stored object, if it was kept.
    pub fn land(mut self, trailers: Option<HeaderMap>) {
        if let Some(keeping) = self.keeping.take() {
            let whole = keeping.head.length.is_none_or(|length| length == self.flight.length());
            match keeping.head.status {
                _ if !whole || keeping.head.passing || self.flight.is_spoiled() => {
                    self.flight.hold(Cargo::Blocks(keeping.charge));
                }
                StatusCode::PARTIAL_CONTENT => {
                    let _ = self.store_part(&keeping);
                    self.flight.hold(Cargo::Blocks(keeping.charge));
                }
                _ => self.store_whole(keeping),
            }
        }
        self.leave_board();
        self.flight.end(Ok(trailers.map(Arc::new)));
    }

    fn store_whole(&self, mut keeping: Keeping) {
        let key = self.store.key(&self.key);
        let (blocks, length) = self.flight.kept();
        let recipe = self.recipe(&keeping.head);
        let mut prefix = keeping.prefix;
        let prefix_cost = object::cost(prefix.bytes.len());
        let object = if length <= INLINE_MAX as u64 {
            prefix.bytes.reserve_exact(blocks.iter().map(Bytes::len).sum());
            blocks.iter().for_each(|block| prefix.bytes.extend_from_slice(block));
            // The object is charged anew: its readers may still hold the blocks, and their charge
            // stays with the flight until they are done.
            let cost = object::cost(prefix.bytes.len());
            let charge = self.store.charge(key, cost);
            self.flight.hold(Cargo::Blocks(keeping.charge));
            let Some(charge) = charge else { return };
            recipe.build(prefix, None, charge)
        } else {
            let Some(charge) = self.store.charge(key, prefix_cost) else {
                return self.flight.hold(Cargo::Blocks(keeping.charge));
            };
            let blocks_cost =
                blocks.iter().map(|block| allocated(block.len()) + BLOCK_OVERHEAD).sum();
            keeping.charge.shrink_to(blocks_cost);
            let body = LargeBody::Whole { blocks: blocks.into_boxed_slice(), length };
            let large = Arc::new(Large { body, charge: keeping.charge });
            self.flight.hold(Cargo::Large(Arc::clone(&large)));
            recipe.build(prefix, Some(large), charge)
        };
        self.store.insert(key, object, self.flight.was_joined());
    }

    /// Adds a 206 to the parts that are held of the same representation, or replaces those of
    /// another one (RFC 9111, section 3.4). `None` if it is of no use, or there is no room.
    fn store_part(&self, keeping: &Keeping) -> Option<()> {
        let key = self.store.key(&self.key);
        let head = &keeping.head;
        let (blocks, length) = self.flight.kept();
        let range = ContentRange::of(&head.fields)?.observed(length)?;
        let body = match <[Bytes; 1]>::try_from(blocks) {
            Ok([block]) => block,
            Err(blocks) => Bytes::from(blocks.concat()),
        };
        let held =
            self.store.variants(key).into_iter().find(|object| {
                object.vary() == &*head.vary && *object.selecting() == *head.selecting
            });
        let mut partial = match held.as_ref().map(Object::body) {
            // The whole is held, and is newer than nothing: it stays.
            Some(Body::Inline(_) | Body::Blocks(_) | Body::Sliced(_) | Body::Beneath(_)) => {
                return None;
            }
            Some(Body::Partial(partial)) if Self::is_same(held.as_ref()?, head) => partial.clone(),
            _ => Partial { parts: Parts::new(range.complete), bytes: Vec::new() },
        };
        let pieces = match partial.parts.add(range) {
            Ok(pieces) => pieces,
            Err(_) => {
                partial = Partial { parts: Parts::new(range.complete), bytes: Vec::new() };
                partial.parts.add(range).ok()?
            }
        };
        let mut fields = head.fields.clone();
        fields.remove(CONTENT_RANGE);
        let recipe = Recipe { status: StatusCode::OK, fields: &fields, ..self.recipe(head) };
        let prefix = recipe.prefix(|packed| self.store.share(packed))?;
        let length = partial.parts.held();
        let cost = partial
            .parts
            .spans()
            .iter()
            .map(|span| {
                allocated(usize::try_from(span.len()).unwrap_or(usize::MAX)) + BLOCK_OVERHEAD
            })
            .sum();
        let blocks_charge = self.store.charge(key, cost)?;
        let object_charge = self.store.charge(key, object::cost(prefix.bytes.len()))?;
        for piece in pieces {
            // Copied: a slice would keep all of the body alive, and only the slice is charged.
            let place = |at: u64| usize::try_from(at - range.span.start);
            let bytes = &body[place(piece.span.start).ok()?..place(piece.span.end).ok()?];
            partial.bytes.insert(piece.at, Bytes::copy_from_slice(bytes));
        }
        let body = if partial.parts.is_complete() {
            LargeBody::Whole { blocks: partial.bytes.into_boxed_slice(), length }
        } else {
            LargeBody::Partial(partial)
        };
        let large = Arc::new(Large { body, charge: blocks_charge });
        self.store.insert(key, recipe.build(prefix, Some(large), object_charge), false);
        Some(())
    }

    /// Whether two responses are parts of one representation: both say so by the same strong
    /// validator.
    fn is_same(held: &Object, head: &Head) -> bool {
        let packed = held.fields();
        let validator = conditional::strong_validator(&packed);
        validator.is_some() && validator == conditional::strong_validator(&head.fields)
    }

    /// The origin confirmed `old`: `fields` and `terms` are what it is from now on, and every reader
    /// answers from that. If it may not be kept any longer (`stored`), it is for the first asker
    /// alone, and leaves the store.
    pub fn confirm(
        mut self,
        old: &Object,
        fields: &HeaderMap,
        terms: Terms,
        stored: Result<(), WhyNot>,
    ) {
        let key = self.store.key(&self.key);
        let keep = stored.is_ok() && !self.flight.is_spoiled();
        let object = renew(&self.store, old, fields, terms, self.purged_up_to);
        if keep && let Some(object) = &object {
            self.store.replace(key, old, object.clone());
        } else {
            self.store.outdate(key, old);
        }
        self.store.note_stored(key, stored);
        self.leave_board();
        let object = object.unwrap_or_else(|| old.clone());
        self.flight.decide(Verdict::Object(object), keep);
        self.flight.end(Ok(None));
    }

    /// The master of slices for a response with this head; `None` if there is no room. If slices of
    /// the same representation are there, it is their master. It is not stored yet: claim its first
    /// slices, then [`Self::found`] it.
    pub fn master(&self, head: &Head, length: u64, size: u64) -> Option<Object> {
        let key = self.store.key(&self.key);
        let is_same = |held: &Object| {
            let sliced = held.sliced().is_some_and(|it| it.length == length && it.size == size);
            let variant = held.vary() == &*head.vary && *held.selecting() == *head.selecting;
            sliced && variant && Self::is_same(held, head)
        };
        let held = self.store.variants(key).into_iter().find(is_same);
        let recipe = self.recipe(head);
        let prefix = recipe.prefix(|packed| self.store.share(packed))?;
        let charge = self.store.charge(key, object::cost(prefix.bytes.len()))?;
        let large = match held.as_ref().and_then(Object::large) {
            Some(large) => Arc::clone(large),
            None => {
                let sliced = Sliced { length, size, nonce: charge.nonce(length) };
                let body = LargeBody::Sliced(sliced);
                Arc::new(Large { body, charge: self.store.charge(key, 0)? })
            }
        };
        Some(recipe.build(prefix, Some(large), charge))
    }

    /// Stores `object`, and every reader answers from it; nobody but these if the key was removed
    /// meanwhile.
    pub fn found(mut self, object: Object) {
        let key = self.store.key(&self.key);
        if !self.flight.is_spoiled() {
            self.store.insert(key, object.clone(), self.flight.was_joined());
        }
        self.store.note_stored(key, Ok(()));
        self.leave_board();
        self.flight.decide(Verdict::Object(object), true);
        self.flight.end(Ok(None));
    }

    /// Every reader answers from `object`, which is in the store.
    pub fn held(mut self, object: Object) {
        self.leave_board();
        self.flight.decide(Verdict::Object(object), true);
        self.flight.end(Ok(None));
    }

    /// What came is for none of the readers: each is to ask for itself. The store remembers `why`.
    pub fn for_nobody(mut self, why: WhyNot) {
        self.store.note_stored(self.store.key(&self.key), Err(why));
        self.leave_board();
        self.flight.decide(Verdict::Alone, false);
        self.flight.end(Err(Truncated));
    }

    /// Whether what it brings is kept, so that nobody waits for anybody.
    pub const fn keeps(&self) -> bool {
        self.keeping.is_some()
    }

    /// Whether anybody is aboard beside the first asker.
    pub fn is_awaited(&self) -> bool {
        self.flight.readers() > 1
    }

    /// Whether nobody has wanted more than the head so far.
    pub fn is_for_head(&self) -> bool {
        self.flight.is_for_head()
    }

    /// Waits until anybody has boarded beside the first asker.
    pub async fn joined(&self) {
        poll_fn(|cx| self.flight.poll_joined(cx)).await;
    }

    /// Ready once nobody wants what this flight brings: while it keeps, only if it is long or another
    /// cache's, and its head was all that anybody wanted.
    pub async fn abandoned(&self) {
        poll_fn(|cx| self.flight.poll_abandoned(cx)).await;
    }

    /// Nobody wants the rest. If it would have been kept for anybody who wanted more than its head, the
    /// store remembers that ([`WhyNot::HeadOnly`]).
    pub fn abandon(mut self) {
        let is_kept = self.keeping.as_ref().is_some_and(|keeping| !keeping.head.passing);
        if is_kept && self.is_for_head() {
            self.store.note_stored(self.store.key(&self.key), Err(WhyNot::HeadOnly));
        }
        self.give_up(Failure::GivenUp);
    }

    /// No response came, or its body broke off.
    pub fn fail(mut self, failure: Failure) {
        self.give_up(failure);
    }

    fn give_up(&mut self, failure: Failure) {
        if let Some(keeping) = self.keeping.take() {
            // Readers may still hold what came so far.
            self.flight.hold(Cargo::Blocks(keeping.charge));
        }
        self.leave_board();
        self.flight.decide(Verdict::Failed(failure), false);
        self.flight.end(Err(Truncated));
    }

    fn leave_board(&mut self) {
        if std::mem::take(&mut self.boarded) {
            self.store.take_off(self.store.key(&self.key), &self.flight);
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // After `land`, `confirm` and `fail` this changes nothing: the first word stands.
        self.give_up(Failure::GivenUp);
    }
}

/// Stores `old` again with other fields and terms, and the same body; nothing if there is no room.
pub fn update(store: &Store, old: &Object, fields: &HeaderMap, terms: Terms) {
    if let Some(new) = renew(store, old, fields, terms, old.purged_up_to()) {
        store.replace(store.key(old.key()), old, new);
    }
}

/// `old` with other fields and terms, and the same body. `None` if there is no room or a field is too
/// long to keep.
pub(crate) fn renew(
    store: &Store,
    old: &Object,
    fields: &HeaderMap,
    terms: Terms,
    purged_up_to: u32,
) -> Option<Object> {
    rebuild(store, old, fields, terms, purged_up_to, old.large().cloned())
}

/// `old` with other fields and terms, and with `large` where it has a large body.
pub(crate) fn rebuild(
    store: &Store,
    old: &Object,
    fields: &HeaderMap,
    terms: Terms,
    purged_up_to: u32,
    large: Option<Arc<Large>>,
) -> Option<Object> {
    let key = store.key(old.key());
    let recipe = Recipe {
        key: old.key(),
        selecting: old.selecting(),
        vary: old.vary_shared(),
        status: old.status(),
        fields,
        terms,
        purged_up_to,
    };
    let mut prefix = recipe.prefix(|packed| store.share(packed))?;
    if let Body::Inline(body) = old.body() {
        prefix.bytes.extend_from_slice(body);
    }
    let charge = store.charge(key, object::cost(prefix.bytes.len()))?;
    Some(recipe.build(prefix, large, charge))
}
