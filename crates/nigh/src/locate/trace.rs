//! A way through an overlay, in words: each node that was asked, and why it.

use std::time::Duration;

use nigh_base::{Address, Key, space::clockwise::Circle};
use nigh_overlay::locate::{Contact, Hop};
use serde_json::{Value, json};

use crate::cli::Overlay;

/// One node on the way.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    address: Address,
    key: Option<Key>,
    answer: Answer,
    why: String,
}

/// What a node said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    After(Duration),
    Missing,
    /// It is the one that was looked for, and others have named it.
    NotAsked,
}

impl Step {
    /// Whether it was asked and gave no answer.
    pub(super) fn was_missed(&self) -> bool {
        self.answer == Answer::Missing
    }

    /// With its number, which is counted from one.
    pub(super) fn json(&self, at: usize) -> Value {
        let (time, answered) = match self.answer {
            Answer::After(time) => (Some(super::milliseconds(time)), Some(true)),
            Answer::Missing => (None, Some(false)),
            Answer::NotAsked => (None, None),
        };
        json!({ "hop": at + 1, "address": self.address.to_string(),
            "key": self.key.map(|key| key.to_string()), "answered": answered,
            "milliseconds": time, "why": self.why })
    }
}

/// What the node that is responsible for a key is to it.
const fn owner_of(overlay: Overlay) -> &'static str {
    match overlay {
        Overlay::Chord | Overlay::Koorde | Overlay::Viceroy => "the key's successor",
        Overlay::Kademlia | Overlay::Pastry => "the nearest to the key",
        Overlay::Tapestry => "the key's root",
        Overlay::Can => "the one whose zone has the key",
    }
}

/// The way that `route` describes through an overlay of that kind, which led to `holders`, the first of
/// whom is responsible for `key`.
pub(super) fn steps(overlay: Overlay, key: Key, holders: &[Contact], route: &[Hop]) -> Vec<Step> {
    let what = owner_of(overlay);
    let owner = holders.first();
    let is_owner = |hop: &Hop| owner.is_some_and(|owner| hop.key == Some(owner.key));
    let mut steps: Vec<Step> = Vec::new();
    for (at, hop) in route.iter().enumerate() {
        let is_last = at + 1 == route.len();
        // Of a node that was asked by its address alone, the key comes with its answer.
        if is_last
            && hop.round_trip.is_none()
            && let (Some(before), Some(asked)) = (steps.last_mut(), route[..at].last())
            && asked.address == hop.address
            && asked.key.is_none()
            && is_owner(hop)
        {
            before.key = hop.key;
            before.why += &format!(", and it is {what}");
            continue;
        }
        let answer = match hop.round_trip {
            Some(time) => Answer::After(time),
            None if is_last && is_owner(hop) => Answer::NotAsked,
            None => Answer::Missing,
        };
        let why = if is_last && is_owner(hop) {
            let distance = match overlay {
                Overlay::Chord => {
                    hop.key.map(|owner| in_bits(Circle::WHOLE.distance(key, owner)) + " behind it")
                }
                _ => hop.gap.map(|gap| in_bits(gap) + " from it"),
            };
            let distance = distance.map(|it| format!(", {it}")).unwrap_or_default();
            format!("{}: {what}{distance}", named(hop))
        } else {
            reason(overlay, hop, &route[..at])
        };
        steps.push(Step { address: hop.address, key: hop.key, answer, why });
    }
    steps
}

/// Why `hop` was asked after those `before` it.
fn reason(overlay: Overlay, hop: &Hop, before: &[Hop]) -> String {
    let same = |other: &&Hop| other.address == hop.address && other.key == hop.key;
    if before.iter().any(|other| same(&other) && other.round_trip.is_none()) {
        return "asked again: nobody else is left".to_owned();
    }
    let missed = before.last().filter(|last| last.round_trip.is_none());
    let missed = missed.map(|_| format!("hop {} did not answer", before.len()));
    match (hop.key, missed) {
        (None, _) if before.iter().any(|other| same(&other)) => {
            "asked again: the way from it led nowhere".to_owned()
        }
        (None, None) if before.is_empty() => "you named it".to_owned(),
        (None, None) => "you named it too, and nobody nearer is left".to_owned(),
        (None, Some(missed)) => format!("you named it too, and {missed}"),
        (Some(_), missed) => {
            let named = named(hop);
            let way = match overlay {
                Overlay::Chord => {
                    let rank = if missed.is_some() { "next nearest" } else { "nearest" };
                    let gap = hop.gap.map(in_bits).unwrap_or_default();
                    format!("of those it knows the {rank} before the key, {gap} short of it")
                }
                _ => {
                    let rank = if missed.is_some() { "another" } else { "the next" };
                    let gap = hop.gap.map(|gap| format!(", {} from the key", in_bits(gap)));
                    format!("{rank} on the way{}", gap.unwrap_or_default())
                }
            };
            let missed = missed.map(|missed| format!("; {missed}")).unwrap_or_default();
            format!("{named}: {way}{missed}")
        }
    }
}

fn named(hop: &Hop) -> String {
    match hop.named_by {
        Some(place) => format!("named by hop {}", place + 1),
        None => "you named it".to_owned(),
    }
}

/// A distance as a power of two.
fn in_bits(distance: Key) -> String {
    match bits(distance) {
        Some(bits) => format!("2^{bits:.1}"),
        None => "nothing".to_owned(),
    }
}

/// The logarithm to base 2; none of zero.
fn bits(distance: Key) -> Option<f64> {
    let zeros = distance.leading_zeros();
    (zeros < Key::BITS).then(|| {
        // The upper 64 bits from the first one on: exact to far more than is printed.
        let top = distance.shifted_up(zeros).top();
        #[expect(clippy::cast_precision_loss, reason = "a logarithm is taken of it")]
        let fraction = (top as f64).log2() - 64.0;
        f64::from(Key::BITS - zeros) + fraction
    })
}

/// A line for each step, under a line that names the columns.
pub(super) fn table(steps: &[Step]) -> String {
    let addresses = steps.iter().map(|step| step.address.to_string().len());
    let wide = addresses.max().unwrap_or(0).max("address".len());
    let mut out = format!("\nhop  {:wide$}  {:40}  {:>10}  why\n", "address", "key", "round trip");
    for (at, step) in steps.iter().enumerate() {
        let key = step.key.map_or_else(|| "not known".to_owned(), |key| key.to_string());
        let answer = match step.answer {
            Answer::After(time) => format!("{:.2} ms", super::milliseconds(time)),
            Answer::Missing => "no answer".to_owned(),
            Answer::NotAsked => "not asked".to_owned(),
        };
        let (hop, address, why) = (at + 1, step.address.to_string(), &step.why);
        out += &format!("{hop:3}  {address:wide$}  {key:40}  {answer:>10}  {why}\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: u64 = 1000;

    fn address(number: u8) -> Address {
        Address::v4([192, 0, 2, number], 4000)
    }

    /// A hop at the node with that number: who named it, its key if that is known, its time.
    fn hop(number: u8, named_by: Option<u32>, key: Option<u64>, millis: Option<u64>) -> Hop {
        let gap = key.map(|key| Circle::WHOLE.distance(key.into(), KEY.into()));
        let round_trip = millis.map(Duration::from_millis);
        Hop { key: key.map(Key::from), address: address(number), round_trip, named_by, gap }
    }

    fn told(route: &[Hop], owner: u64) -> Vec<(Answer, String)> {
        let holders = [Contact { key: owner.into(), address: address(9) }];
        let steps = steps(Overlay::Chord, KEY.into(), &holders, route);
        steps.into_iter().map(|step| (step.answer, step.why)).collect()
    }

    #[test]
    fn each_hop_says_who_named_it_and_how_near_it_is() {
        let route = [
            hop(1, None, None, Some(3)),
            hop(2, Some(0), Some(1000 - 256), Some(4)),
            hop(9, Some(1), Some(1016), None),
        ];
        let millis = |millis| Answer::After(Duration::from_millis(millis));
        let nearest =
            "named by hop 1: of those it knows the nearest before the key, 2^8.0 short of it";
        let successor = "named by hop 2: the key's successor, 2^4.0 behind it";
        let expected =
            [(millis(3), "you named it"), (millis(4), nearest), (Answer::NotAsked, successor)];
        assert_eq!(told(&route, 1016), expected.map(|(answer, why)| (answer, why.to_owned())));
    }

    #[test]
    fn who_does_not_answer_is_the_reason_for_the_next() {
        let route = [
            hop(1, None, None, None),
            hop(2, None, None, Some(4)),
            hop(3, Some(1), Some(900), None),
            hop(4, Some(1), Some(800), Some(5)),
            hop(3, Some(1), Some(900), Some(5)),
            hop(9, Some(4), Some(1000), None),
        ];
        let whys: Vec<String> = told(&route, 1000).into_iter().map(|(_, why)| why).collect();
        assert_eq!(whys[1], "you named it too, and hop 1 did not answer");
        assert!(whys[3].contains("hop 2: of those it knows the next nearest"), "{}", whys[3]);
        assert!(whys[3].ends_with("short of it; hop 3 did not answer"), "{}", whys[3]);
        assert_eq!(whys[4], "asked again: nobody else is left");
        assert_eq!(whys[5], "named by hop 5: the key's successor, nothing behind it");
    }

    #[test]
    fn a_node_that_was_named_and_is_the_holder_stands_once() {
        let route = [hop(9, None, None, Some(3)), hop(9, Some(0), Some(1016), None)];
        let told = told(&route, 1016);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].0, Answer::After(Duration::from_millis(3)));
        assert_eq!(told[0].1, "you named it, and it is the key's successor");
    }

    #[test]
    fn a_way_through_pastry_speaks_of_no_successors() {
        let route = [
            hop(1, None, None, Some(3)),
            hop(2, Some(0), Some(1000 - 256), Some(4)),
            hop(9, Some(1), Some(1000 - 16), Some(5)),
        ];
        let holders = [Contact { key: 984.into(), address: address(9) }];
        let steps = steps(Overlay::Pastry, KEY.into(), &holders, &route);
        assert_eq!(steps[1].why, "named by hop 1: the next on the way, 2^8.0 from the key");
        assert_eq!(steps[2].why, "named by hop 2: the nearest to the key, 2^4.0 from it");
        // Whom the asker has named may be known by its key, too.
        let steps = super::steps(
            Overlay::Pastry,
            KEY.into(),
            &holders,
            &[hop(9, None, Some(984), Some(5))],
        );
        assert_eq!(steps[0].why, "you named it: the nearest to the key, 2^4.0 from it");
    }

    #[test]
    fn distances_are_powers_of_two() {
        assert_eq!(in_bits(Key::from(1)), "2^0.0");
        assert_eq!(in_bits(Key::from(3)), "2^1.6");
        assert_eq!(in_bits(Key::power(151)), "2^151.0");
        assert_eq!(in_bits(Key::MAX), "2^160.0");
        assert_eq!(in_bits(Key::default()), "nothing");
    }
}
