//! The end of a lookup that is to store something: it is stored with the nearest nodes that were found.

use nigh_base::{Key, machine::Context};

use super::{
    Node, Standing,
    ask::For,
    host::Host,
    lookups::Lookup,
    purpose::{Purpose, Put, Putter},
    search::Holder,
    values::{Taken, Version},
};
use crate::locate::Contact;

/// How storing goes.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Storing {
    /// How many have yet to answer.
    left: u32,
    pub(super) copies: u8,
    pub(super) refused: Option<i64>,
    /// Of a value that this node holds, and is not to any more once others have it.
    is_handed_over: bool,
    /// Whether another has told that it holds this value, or a newer one.
    is_held: bool,
}

impl Storing {
    /// Whether nobody has yet to answer who is to hold something.
    pub(super) const fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Whether this node is not to hold the value any more, and others do.
    pub(super) const fn is_given_away(&self) -> bool {
        self.is_handed_over && (self.copies > 0 || self.is_held)
    }
}

impl Node {
    /// All that can be found was found: what is to be stored is stored with the nearest.
    pub(super) fn searched(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let key = lookup.key;
        let mut found = lookup.holders(usize::MAX);
        let mut purpose = lookup.purpose.clone();
        let mut storing = Storing::default();
        if let Purpose::Put(put) = &mut purpose {
            if self.hold(key, put, &found, &mut storing, cx) {
                // With this one they are k.
                let others = self.settings.bucket - 1;
                found = self.lookups.get(id).map_or_else(Vec::new, |it| it.holders(others));
            }
            if storing.is_handed_over {
                // Those who have it need no other copy.
                found.retain(|it| it.told.number < put.number);
            }
        }
        let mut questions = Vec::new();
        for Holder { contact, told, .. } in &found {
            questions.extend(purpose.storing(key, told).map(|method| (*contact, method)));
        }
        storing.left = u32::try_from(questions.len()).expect("two families of sixteen");
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        (lookup.storing, lookup.purpose) = (Some(storing), purpose);
        for (contact, method) in questions {
            if !self.ask(Some(contact.key), contact.address, For::Store(id), method, cx) {
                self.stored(id, Some(None), cx);
            }
        }
        if self.lookups.get(id).is_some_and(Lookup::is_stored) {
            self.finish(id, cx);
        }
    }

    /// A value is about to be stored with those who were found: it gets its number, and this node holds it as
    /// well if it is one of the nearest. Whether it is.
    fn hold(
        &mut self,
        key: Key,
        put: &mut Put,
        found: &[Holder],
        storing: &mut Storing,
        cx: &mut Context<'_, Self>,
    ) -> bool {
        let own = self.values.get(key, cx.now).map(|it| it.number);
        let highest = found.iter().filter_map(|it| it.told.number).chain(own).max();
        let next = highest.map_or(1, |it| it.saturating_add(1));
        let number = *put.number.get_or_insert(next);
        self.values.numbered(key, &put.value, number);
        storing.is_held = found.iter().any(|it| it.told.number >= Some(number));
        let is_leaving = put.by == Putter::Leaver;
        let is_near = !is_leaving && self.is_near(key, found.iter().map(|it| it.contact));
        if is_near {
            let again = self.again(cx);
            let version = Version { value: put.value.clone(), number, lifetime: put.lifetime };
            let by = Host::of(self.me.address);
            let taken = self.values.store(key, version, by, again, cx.now);
            storing.copies += u8::from(taken == Taken::Held);
        } else {
            storing.is_handed_over = is_leaving || put.by == Putter::Holder;
        }
        is_near
    }

    /// A holder has taken what is to be stored, or has not: with this error, if it gave one.
    pub(super) fn stored(
        &mut self,
        id: u64,
        failed: Option<Option<i64>>,
        cx: &mut Context<'_, Self>,
    ) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let Some(storing) = &mut lookup.storing else { return };
        storing.left -= 1;
        match failed {
            None => storing.copies += 1,
            Some(error) => storing.refused = storing.refused.or(error),
        }
        if lookup.is_stored() {
            self.finish(id, cx);
        }
    }

    /// Whether this node is one of the k nearest to `key`, those being the nearest others.
    pub(super) fn is_near(&self, key: Key, others: impl Iterator<Item = Contact>) -> bool {
        let mine = self.me.key.xor(key);
        let nearer = others.filter(|it| it.key.xor(key) < mine).count();
        self.standing == Standing::Member && !self.is_read_only() && nearer < self.settings.bucket
    }
}
