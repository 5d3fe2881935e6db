//! Settled rings in simulated worlds, and lookups in them: what several experiments have in common.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::{Key, Rng, Time};
use nigh_overlay::locate::{
    Command, Contact, Event, Hop, Ticket,
    chord::{Node, settled::Ring},
};
use nigh_sim::{HostId, World};

use crate::parallel;

/// The node of host `number`, by the paper's rule: the key is the SHA-1 of the address.
pub(crate) fn contact(number: u32) -> Contact {
    let address = HostId(number).address();
    Contact { key: Key::of(address.to_string().as_bytes()), address }
}

/// The nodes of the first hosts.
pub(crate) fn contacts(count: u32) -> Vec<Contact> {
    (0..count).map(contact).collect()
}

/// A key as good as that of any content.
pub(crate) fn random_key(rng: &mut Rng) -> Key {
    Key::of(&rng.next_u64().to_be_bytes())
}

/// Upkeep that does not disturb: no experiment lasts so long.
pub(crate) const NEVER: Duration = Duration::from_secs(1_000_000);

/// Machines are made so many at a time, so that they are not all there twice.
const BATCH: usize = 65_536;

/// Adds the nodes of a settled ring to a world without hosts, host `number` being
/// `contacts[number]`. `first_round` draws when each begins its upkeep; `nearest` chooses among
/// candidates for a finger.
pub(crate) fn settle(
    world: &mut World<Node>,
    ring: &Ring,
    contacts: &[Contact],
    mut first_round: impl FnMut() -> Time,
    nearest: impl Fn(Contact, &[Contact]) -> usize + Sync,
) {
    for batch in contacts.chunks(BATCH) {
        let first_rounds: Vec<Time> = batch.iter().map(|_| first_round()).collect();
        let pieces = batch.len().div_ceil(PIECE);
        let nodes = parallel::map(
            pieces,
            |piece| {
                let range = piece * PIECE..batch.len().min((piece + 1) * PIECE);
                let nodes = range.map(|place| {
                    let me = batch[place];
                    ring.node(me, first_rounds[place], |candidates| nearest(me, candidates))
                });
                nodes.collect::<Vec<_>>()
            },
            |_| (),
        );
        nodes.into_iter().flatten().for_each(|node| {
            world.add(node);
        });
    }
}

/// Machines that a thread makes in one go.
const PIECE: usize = 1024;

/// The host on which a node runs.
pub(crate) fn host(contact: Contact) -> HostId {
    HostId::at(contact.address).expect("every node of these worlds runs on a host")
}

/// The way of a lookup that was traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Nodes that answered, without the owner.
    pub(crate) between: u32,
    /// Questions that nobody answered.
    pub(crate) timeouts: u32,
}

/// Counts the steps of a way to `owner`, who was asked itself or named by the one before.
pub(crate) fn way(route: &[Hop], owner: Contact) -> Way {
    let steps = match route.split_last() {
        Some((last, before)) if last.key == Some(owner.key) => before,
        _ => route,
    };
    let answered = steps.iter().filter(|hop| hop.round_trip.is_some()).count();
    let count = |steps: usize| u32::try_from(steps).expect("a way has an end");
    Way { between: count(answered), timeouts: count(steps.len() - answered) }
}

/// The first of `holders` that is there, and how many before it are not.
pub(crate) fn first_there(
    holders: &[Contact],
    mut is_there: impl FnMut(HostId) -> bool,
) -> (Option<Contact>, u32) {
    let place = holders.iter().position(|&it| is_there(host(it)));
    let gone = place.unwrap_or(holders.len());
    (place.map(|place| holders[place]), u32::try_from(gone).expect("holders are few"))
}

/// Lookups to be asked for, evenly over a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Questions {
    pub(crate) count: u64,
    /// Over which they begin.
    pub(crate) span: Duration,
    /// How long answers may still come.
    pub(crate) rest: Duration,
    /// Asked for and collected in so many pieces, so that neither piles up.
    pub(crate) pieces: u64,
    /// Whether the way is of interest; then lookups are iterative.
    pub(crate) trace: bool,
}

/// One lookup, as it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) at: Time,
    pub(crate) by: HostId,
    pub(crate) key: Key,
}

/// Asks for keys that `draw` draws with the hosts that ask for them, and gives `heard` each answer
/// and when it came. Returns how many were never answered.
pub(crate) fn ask(
    world: &mut World<Node>,
    questions: Questions,
    mut draw: impl FnMut() -> (HostId, Key),
    mut heard: impl FnMut(Question, Time, Event),
) -> usize {
    let Questions { count, span, rest, pieces, trace } = questions;
    let start = world.now();
    // Multiplied before it is divided, so that the last one begins within the span.
    let begins = |number: u64| start.after(in_proportion(span, number, count.max(1)));
    let mut asked = 0;
    let mut open = BTreeMap::new();
    world.take_events();
    for piece in 1..=pieces {
        let upto = count * piece / pieces;
        while asked < upto {
            let (at, (by, key)) = (begins(asked), draw());
            open.insert(asked, Question { at, by, key });
            world.command_at(at, by, Command::Locate { ticket: Ticket(asked), key, trace });
            asked += 1;
        }
        let end = if piece == pieces { start.after(span + rest) } else { begins(upto) };
        world.run_until(end);
        for told in world.take_events() {
            let ticket = match &told.event {
                Event::Located { ticket, .. } | Event::Failed { ticket, .. } => ticket.0,
                _ => continue,
            };
            if let Some(question) = open.remove(&ticket) {
                heard(question, told.at, told.event);
            }
        }
    }
    open.len()
}

fn in_proportion(span: Duration, part: u64, whole: u64) -> Duration {
    let nanos = span.as_nanos() * u128::from(part) / u128::from(whole);
    Duration::from_nanos(u64::try_from(nanos).expect("a part of a span that was given"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nigh_overlay::locate::chord::Settings;
    use nigh_sim::{Latency, Network};

    use super::*;

    #[test]
    fn every_question_is_answered_once_with_the_owner() {
        let contacts = contacts(50);
        let settings = Settings { stabilise_every: NEVER, ..Settings::default() };
        let ring = Ring::new(Arc::new(settings), contacts.clone());
        let network = Network::new(Latency::Constant(Duration::from_millis(50)));
        let mut world = World::new(1, network);
        settle(&mut world, &ring, &contacts, || Time::START.after(NEVER), |_, _| 0);
        let mut rng = Rng::new(1);
        let mut answers = 0;
        let questions = Questions {
            count: 100,
            span: Duration::from_secs(10),
            rest: Duration::from_secs(5),
            pieces: 7,
            trace: false,
        };
        let draw = || (HostId(u32::try_from(rng.below(50)).unwrap()), random_key(&mut rng));
        let unanswered = ask(&mut world, questions, draw, |question, at, event| {
            let Event::Located { key, holders, .. } = event else { panic!("{event:?}") };
            assert_eq!((key, holders[0]), (question.key, ring.successor(question.key)));
            assert!(at >= question.at);
            answers += 1;
        });
        assert_eq!((unanswered, answers), (0, 100));
    }
}
