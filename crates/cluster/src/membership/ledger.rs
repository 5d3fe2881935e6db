//! What a node knows of all others: who they are, how they stand, and what they carry.
//!
//! `foca` tells who comes up and goes down, but not who is suspected, and it lends nobody what it
//! was given: so its codec, its listener for broadcasts and the node share this table. The lock is
//! never waited for, since all three run in the same call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Event, Member, Name, State, identity::Identity, record::Record};

/// A ledger that several hold on to.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Ledger>>);

impl Shared {
    pub(super) fn new(own: Record) -> Self {
        let ledger = Ledger { own, echo: None, rows: BTreeMap::new(), news: Vec::new() };
        Self(Arc::new(Mutex::new(ledger)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The table.
#[derive(Debug, Hash)]
pub(super) struct Ledger {
    /// What this node says of itself.
    pub(super) own: Record,
    /// The stamp of a word about this node that others have and it has not said in this life.
    pub(super) echo: Option<(u64, u64)>,
    rows: BTreeMap<Name, Row>,
    /// What the caller is to be told.
    pub(super) news: Vec<Event>,
}

/// Another member.
#[derive(Clone, Debug, Hash)]
pub(super) struct Row {
    pub(super) identity: Identity,
    pub(super) incarnation: u16,
    pub(super) state: State,
    pub(super) record: Option<Record>,
}

impl Row {
    const fn is_active(&self) -> bool {
        matches!(self.state, State::Up | State::Suspect)
    }

    /// How a member that is gone went.
    fn went(&self) -> State {
        let said_so = |it: &Record| it.leaving && it.generation == self.identity.generation;
        if self.record.as_ref().is_some_and(said_so) { State::Left } else { State::Down }
    }

    fn member(&self) -> Member {
        Member {
            name: self.identity.name.clone(),
            address: self.identity.address,
            generation: self.identity.generation,
            incarnation: self.incarnation,
            state: self.state,
            carried: self.record.as_ref().map(|it| it.carried),
        }
    }
}

impl Ledger {
    /// Writes down how a member stands by SWIM's word, and tells it if that is new.
    pub(super) fn note(&mut self, member: &foca::Member<Identity>) {
        let identity = member.id();
        if identity.name == self.own.name {
            return;
        }
        let row = Row {
            identity: identity.clone(),
            incarnation: member.incarnation(),
            state: match member.state() {
                foca::State::Alive => State::Up,
                foca::State::Suspect => State::Suspect,
                foca::State::Down => State::Down,
            },
            record: None,
        };
        let known = self.rows.get_mut(&identity.name);
        let before = known.as_ref().map(|it| (it.state, it.identity.clone()));
        let row = match known {
            Some(known) => {
                let record = known.record.take();
                *known = Row { record, ..row };
                known
            }
            None => self.rows.entry(identity.name.clone()).or_insert(row),
        };
        if row.state == State::Down {
            row.state = row.went();
        }
        let changed = match &before {
            Some((state, identity)) => *state != row.state || *identity != row.identity,
            // Of whom nobody knew, nobody has to hear that it is gone.
            None => row.is_active(),
        };
        if changed {
            self.news.push(told(row));
        }
    }

    /// Puts a member in as it is when all has settled, and tells nobody.
    pub(super) fn settle(&mut self, identity: Identity, record: Record) {
        let name = identity.name.clone();
        let row = Row { identity, incarnation: 0, state: State::Up, record: Some(record) };
        self.rows.insert(name, row);
    }

    /// Takes a member's word; true if it is newer than what is known of it.
    pub(super) fn take(&mut self, record: Record) -> bool {
        if record.name == self.own.name {
            if record.stamp() > self.own.stamp() {
                self.echo = self.echo.max(Some(record.stamp()));
            }
            return false;
        }
        // Of whom SWIM does not speak there is nothing to keep, or what was forgotten would come
        // back from those who forget it a moment later.
        let Some(row) = self.rows.get_mut(&record.name) else { return false };
        let before = row.record.as_ref().map(|it| (it.stamp(), it.carried));
        if before.is_some_and(|(stamp, _)| stamp >= record.stamp()) {
            return false;
        }
        if before.is_none_or(|(_, carried)| carried != record.carried) {
            let (name, carried) = (record.name.clone(), record.carried);
            self.news.push(Event::Carries { name, carried });
        }
        row.record = Some(record);
        if row.state == State::Down && row.went() == State::Left {
            row.state = State::Left;
            self.news.push(told(row));
        }
        true
    }

    /// Forgets a life that is over.
    pub(super) fn forget(&mut self, identity: &Identity) {
        let over = |row: &Row| row.identity == *identity && !row.is_active();
        if self.rows.get(&identity.name).is_some_and(over) {
            self.rows.remove(&identity.name);
        }
    }

    /// Whether a suspicion of this life and this incarnation stands.
    pub(super) fn suspects(&self, identity: &Identity, incarnation: u16) -> bool {
        self.rows.get(&identity.name).is_some_and(|row| {
            row.state == State::Suspect
                && row.incarnation == incarnation
                && row.identity == *identity
        })
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        *name == self.own.name || self.rows.contains_key(name)
    }

    /// How many others are known, whatever their state.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Those who are there, suspected or not.
    pub(super) fn active(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|row| row.is_active())
    }

    /// Those who are not there.
    pub(super) fn gone(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().filter(|row| !row.is_active())
    }

    /// The words of all, this node's too, from `from` on and round to it.
    pub(super) fn records(&self, from: &Name) -> impl Iterator<Item = Record> {
        let own = |range: bool| range.then(|| self.own.clone());
        let behind = self.rows.range(from..).filter_map(|(_, row)| row.record.clone());
        let before = self.rows.range(..from).filter_map(|(_, row)| row.record.clone());
        let is_behind = self.own.name >= *from;
        own(is_behind).into_iter().chain(behind).chain(own(!is_behind)).chain(before)
    }

    /// How all others stand.
    pub(super) fn states(&self) -> impl Iterator<Item = State> {
        self.rows.values().map(|row| row.state)
    }

    /// All others, in the order of names.
    pub(super) fn members(&self) -> Vec<Member> {
        self.rows.values().map(Row::member).collect()
    }

    /// One of them.
    pub(super) fn member(&self, name: &Name) -> Option<Member> {
        self.rows.get(name).map(Row::member)
    }
}

fn told(row: &Row) -> Event {
    let name = row.identity.name.clone();
    match row.state {
        State::Up => Event::Up(row.member()),
        State::Suspect => Event::Suspect(name),
        State::Down => Event::Down(name),
        State::Left => Event::Left(name),
    }
}
