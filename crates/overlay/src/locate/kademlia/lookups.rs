//! What the caller wants, and what upkeep needs: a search, what it finds on the way, and what is stored
//! with those it ends at.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use nigh_base::{Address, Key, machine::Context};

use super::{
    Announce, Command, Event, Family, Node, PEERS_FOUND_MAX, Settings, Standing,
    ask::For,
    filter,
    krpc::{Filters, Item, Method, Response, Token},
    search::{Holder, Manner, Search},
};
use crate::locate::{self, Contact, Failure, Ticket, VALUE_MAX, VIA_MAX, pending::Pending};

/// Lookups at once, of the caller's and of upkeep's.
pub(super) const LOOKUPS_MAX: usize = 256;

/// What a lookup is for.
#[derive(Clone, Debug, Hash)]
pub(super) enum Purpose {
    /// A way in.
    Join,
    /// To know the nodes of that part of the key space.
    Refresh,
    Locate {
        ticket: Ticket,
        trace: bool,
    },
    /// A value under any key; nobody waits for one that is stored again.
    Put {
        ticket: Option<Ticket>,
        value: Bytes,
        lifetime: Duration,
    },
    Get(Ticket),
    Peers {
        ticket: Ticket,
        announce: Option<Announce>,
        scrape: bool,
    },
    Item {
        ticket: Ticket,
        salt: Bytes,
    },
    PutItem {
        ticket: Ticket,
        item: Box<Item>,
        cas: Option<i64>,
    },
    Samples(Ticket),
}

impl Purpose {
    /// What the nodes on the way are asked.
    fn question(&self, key: Key) -> Method {
        match self {
            Self::Join | Self::Refresh | Self::Locate { .. } => Method::FindNode { target: key },
            Self::Put { .. } | Self::Get(_) => Method::Fetch { target: key },
            Self::Peers { announce, scrape, .. } => Method::GetPeers {
                info_hash: key,
                // Seeds have no use for each other.
                without_seeds: announce.is_some_and(|it| it.seed),
                scrape: *scrape,
            },
            Self::Item { .. } | Self::PutItem { .. } => {
                Method::Get { target: key, newer_than: None }
            }
            Self::Samples(_) => Method::SampleInfohashes { target: key },
        }
    }

    /// What is stored with those it ends at.
    fn storing(&self, key: Key, token: Token) -> Option<Method> {
        match self {
            Self::Put { value, lifetime, .. } => {
                let lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
                Some(Method::Store { target: key, value: value.clone(), lifetime, token })
            }
            Self::Peers { announce: Some(Announce { port, seed }), .. } => {
                let (port, seed) = (*port, *seed);
                Some(Method::AnnouncePeer { info_hash: key, port, seed, token })
            }
            Self::PutItem { item, cas, .. } => {
                Some(Method::Put { item: item.clone(), cas: *cas, token })
            }
            _ => None,
        }
    }
}

/// What was found on the way.
#[derive(Clone, Debug, Default, Hash)]
struct Found {
    peers: BTreeSet<Address>,
    filters: Option<Box<Filters>>,
    item: Option<Item>,
    value: Option<Bytes>,
    samples: BTreeSet<Key>,
}

/// How storing goes.
#[derive(Clone, Debug, Default, Hash)]
struct Storing {
    /// How many have yet to answer.
    left: u32,
    copies: u8,
    refused: Option<i64>,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Lookup {
    key: Key,
    purpose: Purpose,
    /// For each family that is spoken.
    searches: [Option<Search>; 2],
    found: Found,
    /// Once the searches have ended, if something is to be stored.
    storing: Option<Storing>,
}

/// The lookups of a node.
pub(super) type Lookups = Pending<Lookup>;

impl Lookups {
    pub(super) fn check(&self) {
        assert!(self.len() <= LOOKUPS_MAX, "too many lookups at once");
        self.iter().flat_map(|it| it.searches.iter().flatten()).for_each(Search::check);
    }
}

impl Node {
    pub(super) fn command(&mut self, command: Command, cx: &mut Context<'_, Self>) {
        match command {
            Command::Locate(command) => self.locate(command, cx),
            Command::Peers { ticket, info_hash, announce, scrape } => {
                self.look_up(info_hash, Purpose::Peers { ticket, announce, scrape }, cx);
            }
            Command::Item { ticket, target, salt } => {
                self.look_up(target, Purpose::Item { ticket, salt }, cx);
            }
            // What is too long for a datagram is no node's to refuse.
            Command::PutItem { ticket, item, .. } if !item.fits() => {
                let why = Failure::ValueTooLong;
                cx.tell(Event::Locate(locate::Event::Failed { ticket, why }));
            }
            Command::PutItem { ticket, item, cas } => {
                let target = item.name();
                self.look_up(target, Purpose::PutItem { ticket, item, cas }, cx);
            }
            Command::Samples { ticket, target } => {
                self.look_up(target, Purpose::Samples(ticket), cx);
            }
        }
    }

    fn locate(&mut self, command: locate::Command, cx: &mut Context<'_, Self>) {
        match command {
            locate::Command::Join { via } => self.join(via, cx),
            locate::Command::Visit { mut via } => {
                via.truncate(VIA_MAX);
                self.upkeep.via = via;
                if self.standing == Standing::Outside {
                    self.standing = Standing::Visitor;
                }
            }
            locate::Command::Leave => self.leave(cx),
            locate::Command::Locate { ticket, key, trace } => {
                self.look_up(key, Purpose::Locate { ticket, trace }, cx);
            }
            locate::Command::Put { ticket, key, value, lifetime, refresh } => {
                if value.len() > VALUE_MAX {
                    let why = Failure::ValueTooLong;
                    return cx.tell(Event::Locate(locate::Event::Failed { ticket, why }));
                }
                let lifetime = lifetime.min(locate::LIFETIME_MAX);
                if refresh {
                    self.values.publish(key, value.clone(), lifetime, cx.now);
                }
                self.look_up(key, Purpose::Put { ticket: Some(ticket), value, lifetime }, cx);
            }
            locate::Command::Get { ticket, key } => self.look_up(key, Purpose::Get(ticket), cx),
        }
    }

    /// Begins a lookup.
    pub(super) fn look_up(&mut self, key: Key, purpose: Purpose, cx: &mut Context<'_, Self>) {
        if self.standing == Standing::Outside {
            return Self::give_up(&purpose, Failure::Outside, cx);
        }
        if self.lookups.len() >= LOOKUPS_MAX {
            return Self::give_up(&purpose, Failure::Busy, cx);
        }
        let trace = matches!(purpose, Purpose::Locate { trace: true, .. });
        let Settings { bucket, parallel, paths, .. } = *self.settings;
        let manner = Manner { wanted: bucket, parallel, paths, trace };
        let mut searches = [None, None];
        for family in self.families() {
            let known = self.table(family).nearest(key, bucket.max(paths));
            // Those who have let it in are asked again as long as it knows hardly anybody else.
            let via = self.upkeep.via.iter().copied().filter(|it| Family::of(*it) == family);
            let via: Vec<Address> = if known.len() < bucket { via.collect() } else { Vec::new() };
            searches[family as usize] = Some(Search::new(key, manner, &known, &via));
        }
        let id = cx.secrets.number();
        let lookup = Lookup { key, purpose, searches, found: Found::default(), storing: None };
        self.lookups.push(id, Box::new(lookup));
        self.step(id, cx);
    }

    /// Asks those whose turn it is.
    fn step(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        loop {
            let Some(lookup) = self.lookups.get_mut(id) else { return };
            if lookup.storing.is_some() {
                return;
            }
            let mut searches = lookup.searches.iter_mut().flatten();
            let Some((key, address)) = searches.find_map(Search::next) else { break };
            let method = lookup.purpose.question(lookup.key);
            if !self.ask(key, address, For::Search(id), method, cx) {
                self.search_failed(id, address);
            }
        }
        let is_done = |it: &Lookup| it.searches.iter().flatten().all(Search::is_done);
        if self.lookups.get(id).is_some_and(is_done) {
            self.searched(id, cx);
        }
    }

    fn search_of(&mut self, id: u64, address: Address) -> Option<&mut Search> {
        let lookup = self.lookups.get_mut(id)?;
        lookup.searches[Family::of(address) as usize].as_mut()
    }

    fn search_failed(&mut self, id: u64, address: Address) {
        if let Some(search) = self.search_of(id, address) {
            search.failed(address);
        }
    }

    /// A node takes longer than most to answer.
    pub(super) fn search_is_late(&mut self, id: u64, address: Address, cx: &mut Context<'_, Self>) {
        if let Some(search) = self.search_of(id, address) {
            search.is_late(address);
            self.step(id, cx);
        }
    }

    /// A node has not answered.
    pub(super) fn step_failed(&mut self, id: u64, address: Address, cx: &mut Context<'_, Self>) {
        self.search_failed(id, address);
        self.step(id, cx);
    }

    /// A node on the way has answered.
    pub(super) fn stepped(
        &mut self,
        id: u64,
        from: Contact,
        round_trip: Duration,
        response: Response,
        cx: &mut Context<'_, Self>,
    ) {
        let me = self.me.key;
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let family = Family::of(from.address);
        if let Some(search) = &mut lookup.searches[family as usize] {
            let named = match family {
                Family::V4 => &response.nodes,
                Family::V6 => &response.nodes6,
            };
            let named = named.iter().flatten().copied();
            search.answered(from, round_trip, response.token.clone(), named, me);
        }
        if lookup.found.add(&lookup.purpose, lookup.key, response) {
            return self.finish(id, cx);
        }
        self.step(id, cx);
    }

    /// All that can be found was found: what is to be stored is stored with the nearest.
    fn searched(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let key = lookup.key;
        let found: Vec<Vec<Holder>> =
            lookup.searches.iter().flatten().map(Search::holders).collect();
        let purpose = lookup.purpose.clone();
        let mut storing = Storing::default();
        let mut questions = Vec::new();
        for holder in found.iter().flatten() {
            let method = holder.token.clone().and_then(|token| purpose.storing(key, token));
            questions.extend(method.map(|method| (holder.contact, method)));
        }
        if let Purpose::Put { value, lifetime, .. } = &purpose
            && self.is_near(key, found.iter().flatten().map(|it| it.contact))
        {
            let again = self.again(cx);
            let held = self.values.store(key, value.clone(), *lifetime, again, cx.now);
            storing.copies += u8::from(held);
        }
        storing.left = u32::try_from(questions.len()).expect("two families of sixteen");
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.storing = Some(storing);
        for (contact, method) in questions {
            if !self.ask(Some(contact.key), contact.address, For::Store(id), method, cx) {
                self.stored(id, Some(None), cx);
            }
        }
        if self.lookups.get(id).is_some_and(Lookup::is_stored) {
            self.finish(id, cx);
        }
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
    fn is_near(&self, key: Key, others: impl Iterator<Item = Contact>) -> bool {
        let mine = self.me.key.xor(key);
        let nearer = others.filter(|it| it.key.xor(key) < mine).count();
        self.standing == Standing::Member && !self.is_read_only() && nearer < self.settings.bucket
    }

    /// Tells whoever has wanted it.
    fn finish(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.take(id) else { return };
        let Lookup { key, purpose, mut searches, found, storing } = *lookup;
        let Storing { copies, refused, .. } = storing.unwrap_or_default();
        let mut holders: Vec<Contact> = Vec::new();
        holders.extend(searches.iter().flatten().flat_map(Search::holders).map(|it| it.contact));
        let is_heard = !holders.is_empty();
        match purpose {
            Purpose::Join => self.join_ended(is_heard, cx),
            Purpose::Refresh => {}
            Purpose::Locate { ticket, .. } => {
                if self.is_near(key, holders.iter().copied()) {
                    holders.push(self.me);
                }
                holders.sort_by_key(|it| it.key.xor(key));
                let Some(first) = holders.first() else {
                    return Self::give_up(&purpose, Failure::Unreachable, cx);
                };
                let way = searches.iter().flatten().find(|it| it.leads_to(*first));
                let hops = way.map_or(0, Search::hops);
                let route = searches.iter_mut().flatten().flat_map(Search::take_route).collect();
                let event = locate::Event::Located { ticket, key, holders, hops, route };
                cx.tell(Event::Locate(event));
            }
            Purpose::Put { ticket: None, .. } => {}
            Purpose::Put { ticket: Some(ticket), .. } => {
                let event = match (copies, refused) {
                    (0, Some(_)) => locate::Event::Failed { ticket, why: Failure::Full },
                    (0, None) => locate::Event::Failed { ticket, why: Failure::Unreachable },
                    _ => locate::Event::Stored { ticket, copies },
                };
                cx.tell(Event::Locate(event));
            }
            Purpose::Get(ticket) => {
                let own = self.values.get(key, cx.now).cloned();
                let value = found.value.or(own);
                if value.is_none() && !is_heard && self.standing != Standing::Member {
                    return Self::give_up(&purpose, Failure::Unreachable, cx);
                }
                cx.tell(Event::Locate(locate::Event::Value { ticket, value }));
            }
            // Nobody has answered who could know.
            _ if !is_heard && self.standing != Standing::Member => {
                Self::give_up(&purpose, Failure::Unreachable, cx);
            }
            Purpose::Peers { ticket, scrape, .. } => {
                let counts = found
                    .filters
                    .filter(|_| scrape)
                    .map(|it| (filter::estimate(&it.seeds), filter::estimate(&it.peers)));
                let peers = found.peers.into_iter().collect();
                cx.tell(Event::Peers { ticket, peers, announced: copies, counts });
            }
            Purpose::Item { ticket, .. } => {
                let own = self.items.get(key, cx.now).cloned();
                cx.tell(Event::Item { ticket, item: newer(found.item, own) });
            }
            Purpose::PutItem { ticket, .. } => {
                cx.tell(Event::ItemStored { ticket, copies, refused });
            }
            Purpose::Samples(ticket) => {
                let info_hashes = found.samples.into_iter().collect();
                cx.tell(Event::Samples { ticket, info_hashes });
            }
        }
    }

    /// Tells whoever has wanted it that it cannot be done.
    fn give_up(purpose: &Purpose, why: Failure, cx: &mut Context<'_, Self>) {
        let ticket = match purpose {
            Purpose::Locate { ticket, .. }
            | Purpose::Put { ticket: Some(ticket), .. }
            | Purpose::Get(ticket)
            | Purpose::Peers { ticket, .. }
            | Purpose::Item { ticket, .. }
            | Purpose::PutItem { ticket, .. }
            | Purpose::Samples(ticket) => *ticket,
            // Upkeep tries again.
            Purpose::Join | Purpose::Refresh | Purpose::Put { ticket: None, .. } => return,
        };
        cx.tell(Event::Locate(locate::Event::Failed { ticket, why }));
    }
}

impl Lookup {
    /// Whether nobody has yet to answer who is to hold something.
    fn is_stored(&self) -> bool {
        self.storing.as_ref().is_some_and(|it| it.left == 0)
    }
}

impl Found {
    /// Takes in what a node has said; true if nothing more is wanted.
    fn add(&mut self, purpose: &Purpose, key: Key, response: Response) -> bool {
        match purpose {
            Purpose::Get(_) => {
                self.value = response.value.filter(|it| it.len() <= VALUE_MAX);
                self.value.is_some()
            }
            Purpose::Peers { .. } => {
                let room = PEERS_FOUND_MAX - self.peers.len();
                self.peers.extend(response.peers.into_iter().flatten().take(room));
                match (&mut self.filters, response.filters) {
                    (Some(all), Some(filters)) => {
                        filter::unite(&mut all.seeds, &filters.seeds);
                        filter::unite(&mut all.peers, &filters.peers);
                    }
                    (all @ None, filters) => *all = filters,
                    (Some(_), None) => {}
                }
                false
            }
            Purpose::Item { salt, .. } => {
                let Some(mut item) = response.item else { return false };
                if let Some(signed) = &mut item.signed {
                    signed.salt = salt[..].into();
                }
                let is_it = item.name() == key && item.is_genuine();
                // What is named by its value cannot be any other; of what is signed there may be newer.
                let is_last = is_it && item.signed.is_none();
                self.item = newer(self.item.take(), Some(item).filter(|_| is_it));
                is_last
            }
            Purpose::Samples(_) => {
                let room = PEERS_FOUND_MAX - self.samples.len();
                let some = response.samples.into_iter().flat_map(|it| it.some);
                self.samples.extend(some.take(room));
                false
            }
            _ => false,
        }
    }
}

/// The one with the higher number.
fn newer(one: Option<Item>, other: Option<Item>) -> Option<Item> {
    let number = |it: &Item| it.signed.as_ref().map(|it| it.number);
    match (one, other) {
        (Some(one), Some(other)) if number(&other) > number(&one) => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}
