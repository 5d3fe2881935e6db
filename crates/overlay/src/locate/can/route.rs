//! The next node on the way to a key, and who holds what lies there.
//!
//! ```text
//! in a neighbour's zone       that one; if it is silent, whoever comes after it
//! some neighbour is nearer    the nearest (section 2.1), or the one by which a second of waiting brings the
//!                             most (section 3.3)
//! none is                     a neighbour that is not nearer, a few times at most; then the way is at a dead end
//! ```
//! In one reality, or in all at once (section 3.2): then whoever is nearest in any of them is next. Where such a
//! way ends without the value that is looked for, it goes on in the first reality.

use nigh_base::Key;

use super::{
    Can,
    claims::Neighbour,
    message::{ANY_REALITY, DETOURS_MAX, Named, Way},
    zone::{Point, Zone},
};
use crate::locate::{Contact, codec::CONTACTS_MAX, node::geometry::Step};

/// Round trips below that, or that are not known, count as so long, in seconds: among nodes that are all near, what
/// each had to do when it was asked would decide, and ways would be long.
const ROUND_TRIP_MIN: f64 = 5e-3;

/// By which a node is known to the one that a detour leads to.
fn mark(key: Key) -> u32 {
    let [a, b, c, d, ..] = key.bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The distance whose square that is.
#[expect(clippy::cast_precision_loss, reason = "it is compared with others that are far from it")]
fn root(square: u128) -> f64 {
    libm::sqrt(square as f64)
}

impl Way {
    /// One that ends wherever the value lies.
    pub(super) fn to_any() -> Self {
        Self { reality: ANY_REALITY, ..Self::default() }
    }

    /// Whether it leads through the reality of that zone.
    fn leads_through(self, zone: Zone) -> bool {
        self.reality == ANY_REALITY || self.reality == zone.reality()
    }

    /// The same in the first reality.
    fn to_responsible(self) -> Self {
        Self { reality: 0, ..self }
    }
}

impl Can {
    pub(super) fn next_on_way(
        &self,
        key: Key,
        way: Way,
        without: &[Key],
        weighted: bool,
    ) -> Option<Step<Way>> {
        let is_any = way.reality == ANY_REALITY;
        if is_any && self.has_in_any(key) {
            return self.next_on_way(key, way.to_responsible(), without, weighted);
        }
        if self.has(key, way.reality) {
            return None;
        }
        if let Some((owner, zone, named)) = self.last_owner(key, way) {
            if self.neighbours.contains_key(&owner.key) && !without.contains(&owner.key) {
                return Some(Step { contact: owner, carry: way });
            }
            if is_any {
                return self.next_on_way(key, way.to_responsible(), without, weighted);
            }
            return match way.stands_in {
                true => None,
                false => self.stand_in(zone, owner, named, way, without),
            };
        }
        self.step_to(key, way, without, weighted)
    }

    /// Whether this node, which has no next one for this way, neither owns `key` nor stands in for who does.
    pub(super) fn leads_nowhere(&self, key: Key, way: Way) -> bool {
        let way = if way.reality == ANY_REALITY { way.to_responsible() } else { way };
        !self.has(key, way.reality) && self.last_owner(key, way).is_none()
    }

    /// Whoever has the zone in which `key` lies, or had it before it was gone.
    fn last_owner(&self, key: Key, way: Way) -> Option<(Contact, Zone, &[Named])> {
        let is_it = |it: &&Zone| way.leads_through(**it) && it.has(key);
        let owned = self.neighbours.values().find_map(|it| {
            let zone = it.right.iter().find(is_it)?;
            Some((it.peer.contact, *zone, &it.others[..]))
        });
        owned.or_else(|| {
            let vacancy = self.vacancies.iter().find(|it| is_it(&&it.zone))?;
            Some((vacancy.of?, vacancy.zone, &vacancy.named[..]))
        })
    }

    /// The first of those who come after a silent owner, if that is not this node itself.
    fn stand_in(
        &self,
        zone: Zone,
        owner: Contact,
        named: &[Named],
        way: Way,
        without: &[Key],
    ) -> Option<Step<Way>> {
        let heirs = self.heirs(zone, owner, named);
        let first = heirs.into_iter().find(|it| !without.contains(&it.key))?;
        let carry = Way { stands_in: true, ..way };
        (first != self.me).then_some(Step { contact: first, carry })
    }

    /// Towards a point that lies further away.
    fn step_to(&self, key: Key, way: Way, without: &[Key], weighted: bool) -> Option<Step<Way>> {
        let point = self.space.point(key);
        let mine = self.distance(&self.zones, &point, way);
        // Who has sent it on a detour is stuck itself.
        let is_out = |it: &Neighbour| {
            let key = it.peer.contact.key;
            without.contains(&key) || (way.detours > 0 && mark(key) == way.from)
        };
        let others = self.neighbours.values().filter(|it| !is_out(it) && !it.right.is_empty());
        let mut others: Vec<(u128, &Neighbour)> =
            others.map(|it| (self.distance(&it.right, &point, way), it)).collect();
        others.sort_by_key(|(distance, it)| (*distance, it.peer.contact.key));
        let nearer = others.partition_point(|(distance, _)| *distance < mine);
        let (_, first) = others.first()?;
        if nearer == 0 {
            let carry = Way { detours: way.detours + 1, from: mark(self.me.key), ..way };
            let contact = first.peer.contact;
            return (way.detours < DETOURS_MAX).then_some(Step { contact, carry });
        }
        let gain = |(distance, it): &(u128, &Neighbour)| {
            let seconds = it.peer.rtt.estimate().map_or(0.0, |it| it.as_secs_f64());
            (root(mine) - root(*distance)) / seconds.max(ROUND_TRIP_MIN)
        };
        let best = match weighted && mine < u128::MAX {
            true => others[..nearer].iter().rev().max_by(|a, b| gain(a).total_cmp(&gain(b)))?.1,
            false => first,
        };
        Some(Step { contact: best.peer.contact, carry: way })
    }

    fn distance(&self, zones: &[Zone], point: &Point, way: Way) -> u128 {
        let through = zones.iter().filter(|it| way.leads_through(**it));
        let all = through.map(|&it| self.space.distance(&self.space.sides(it), point));
        all.min().unwrap_or(u128::MAX)
    }

    /// The owner in the first reality, and those who come after it; of a zone further away whoever is near.
    pub(super) fn stand_ins(&self, key: Key, count: usize) -> Vec<Contact> {
        let given = self.given.iter().map(|it| it.zone);
        let mut mine = self.zones.iter().copied().chain(given);
        let mine = mine.find(|it| it.reality() == 0 && it.has(key));
        let mut all = if let Some(zone) = mine {
            let mut all = self.heirs(zone, self.me, &[]);
            all.insert(0, self.me);
            all
        } else if let Some((owner, zone, named)) = self.last_owner(key, Way::default()) {
            let mut all = self.heirs(zone, owner, named);
            if self.neighbours.contains_key(&owner.key) {
                all.insert(0, owner);
            }
            all
        } else {
            let point = self.space.point(key);
            let mut all: Vec<_> = self
                .neighbours
                .values()
                .map(|it| (self.distance(&it.right, &point, Way::default()), it.peer.contact))
                .collect();
            all.sort_unstable();
            all.into_iter().map(|(_, contact)| contact).collect()
        };
        if all.is_empty() {
            all.push(self.me);
        }
        all.truncate(count.min(CONTACTS_MAX));
        all
    }
}
