//! What the caller wants, and what upkeep needs: a search, what it finds on the way, and what is stored
//! with those it ends at.

use std::time::Duration;

use nigh_base::{Address, Key, machine::Context};

use super::{
    Command, Event, Family, Node, Settings, Standing,
    ask::For,
    filter,
    found::{Found, newer},
    krpc::Response,
    purpose::{Purpose, Put, Putter},
    search::{Goal, Holder, Manner, Search, Told},
    storing::Storing,
};
use crate::locate::{self, Contact, Failure, VALUE_MAX, VIA_MAX, pending::Pending};

/// Lookups at once, of the caller's and of upkeep's.
pub(super) const LOOKUPS_MAX: usize = 256;
/// Of them, those of the caller: some are left to upkeep.
const OF_CALLER_MAX: usize = LOOKUPS_MAX - 32;

#[derive(Clone, Debug, Hash)]
pub(super) struct Lookup {
    pub(super) key: Key,
    pub(super) purpose: Purpose,
    /// For each family that is spoken.
    pub(super) searches: [Option<Search>; 2],
    found: Found,
    /// Once the searches have ended, if something is to be stored.
    pub(super) storing: Option<Storing>,
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
                if refresh && !self.values.publish(key, value.clone(), lifetime, cx.now) {
                    let why = Failure::Busy;
                    return cx.tell(Event::Locate(locate::Event::Failed { ticket, why }));
                }
                let put = Put { by: Putter::Caller(ticket), value, lifetime, number: None };
                self.look_up(key, Purpose::Put(put), cx);
            }
            locate::Command::Get { ticket, key } => self.look_up(key, Purpose::Get(ticket), cx),
        }
    }

    /// Begins a lookup.
    pub(super) fn look_up(&mut self, key: Key, purpose: Purpose, cx: &mut Context<'_, Self>) {
        if self.standing == Standing::Outside {
            return purpose.give_up(Failure::Outside, cx);
        }
        let most = if purpose.is_of_caller() { OF_CALLER_MAX } else { LOOKUPS_MAX };
        if self.lookups.len() >= most {
            return purpose.give_up(Failure::Busy, cx);
        }
        let trace = matches!(purpose, Purpose::Locate { trace: true, .. });
        let Settings { bucket, parallel, paths, .. } = *self.settings;
        // Who goes on several paths trusts none of them to name the nearest.
        let goal = match purpose {
            Purpose::Locate { .. } if paths == 1 => Goal::Nearest,
            _ => Goal::All,
        };
        let manner = Manner { goal, wanted: bucket, parallel, paths, trace };
        let mut searches = [None, None];
        // Others name the one who leaves among the k nearest, and those who have left before.
        let is_leaving = matches!(purpose, Purpose::Put(Put { by: Putter::Leaver, .. }));
        let most = if is_leaving { 2 * bucket } else { bucket.max(paths) };
        for family in self.families() {
            let known = self.table(family).nearest(key, most);
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
            search.answered(from, round_trip, Told::of(&response), named, me);
        }
        if lookup.found.add(&lookup.purpose, lookup.key, response) {
            return self.finish(id, cx);
        }
        self.step(id, cx);
    }

    /// Tells whoever has wanted it.
    pub(super) fn finish(&mut self, id: u64, cx: &mut Context<'_, Self>) {
        let Some(lookup) = self.lookups.take(id) else { return };
        let Lookup { key, purpose, mut searches, found, storing } = *lookup;
        let storing = storing.unwrap_or_default();
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
                match located(ticket, key, holders, &mut searches) {
                    Some(event) => cx.tell(Event::Locate(event)),
                    None => purpose.give_up(Failure::Unreachable, cx),
                }
            }
            Purpose::Put(Put { by: Putter::Caller(ticket), .. }) => {
                let event = match (storing.copies, storing.refused) {
                    (0, Some(_)) => locate::Event::Failed { ticket, why: Failure::Full },
                    (0, None) => locate::Event::Failed { ticket, why: Failure::Unreachable },
                    (copies, _) => locate::Event::Stored { ticket, copies },
                };
                cx.tell(Event::Locate(event));
            }
            Purpose::Put(Put { by: Putter::Leaver, .. }) => {
                self.handed_on(storing.is_given_away(), cx);
            }
            Purpose::Put(Put { number, .. }) => {
                let held = self.values.get(key, cx.now).map(|it| it.number);
                if storing.is_given_away() && held == number {
                    self.values.drop_value(key);
                }
            }
            Purpose::Get(ticket) => {
                let own = self.values.get(key, cx.now).map(|it| (it.number, it.value));
                // Of two that were had, the newer.
                let value = found.value.max(own).map(|(_, value)| value);
                if value.is_none() && !is_heard && self.standing != Standing::Member {
                    return purpose.give_up(Failure::Unreachable, cx);
                }
                cx.tell(Event::Locate(locate::Event::Value { ticket, value }));
            }
            // Nobody has answered who could know.
            _ if !is_heard && self.standing != Standing::Member => {
                purpose.give_up(Failure::Unreachable, cx);
            }
            Purpose::Peers { ticket, scrape, .. } => {
                let counts = found
                    .filters
                    .filter(|_| scrape)
                    .map(|it| (filter::estimate(&it.seeds), filter::estimate(&it.peers)));
                let peers = found.peers.into_iter().collect();
                cx.tell(Event::Peers { ticket, peers, announced: storing.copies, counts });
            }
            Purpose::Item { ticket, .. } => {
                let own = self.items.get(key, cx.now).cloned();
                cx.tell(Event::Item { ticket, item: newer(found.item, own) });
            }
            Purpose::PutItem { ticket, .. } => {
                let Storing { copies, refused, .. } = storing;
                cx.tell(Event::ItemStored { ticket, copies, refused });
            }
            Purpose::Samples(ticket) => {
                let info_hashes = found.samples.into_iter().collect();
                cx.tell(Event::Samples { ticket, info_hashes });
            }
        }
    }
}

/// Who is responsible, of those who were found, and the way to it; none if nobody was.
fn located(
    ticket: locate::Ticket,
    key: Key,
    mut holders: Vec<Contact>,
    searches: &mut [Option<Search>; 2],
) -> Option<locate::Event> {
    holders.sort_by_key(|it| it.key.xor(key));
    let first = *holders.first()?;
    let way = searches.iter().flatten().find(|it| it.leads_to(first));
    let hops = way.map_or(0, Search::hops);
    let route = searches.iter_mut().flatten().flat_map(Search::take_route).collect();
    Some(locate::Event::Located { ticket, key, holders, hops, route })
}

impl Lookup {
    /// Those whom it has found, the nearest of each family, so many of each at most.
    pub(super) fn holders(&self, most: usize) -> Vec<Holder> {
        let searches = self.searches.iter().flatten();
        searches.flat_map(|it| it.holders().into_iter().take(most)).collect()
    }

    /// Whether nobody has yet to answer who is to hold something.
    pub(super) fn is_stored(&self) -> bool {
        self.storing.as_ref().is_some_and(Storing::is_done)
    }
}
