//! What `foca` wants of the world: timers, datagrams, and numbers that fit the cluster.

use std::{
    collections::BTreeMap,
    num::{NonZeroU8, NonZeroUsize},
    time::Duration,
};

use bytes::Bytes;
use foca::{Notification, PeriodicParams};
use nigh_base::{Time, machine::Context};

use super::{
    Settings,
    identity::Identity,
    message::{Body, Message, PACKET_MAX},
    node::{Counters, Node},
};

/// Members to whom what is new is passed on at once.
const GOSSIP_TO: usize = 3;
/// How often a node asks a member for others: what pings have missed.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(30);
/// How often, and to how many of those who are down, a node announces itself: how the halves of a
/// cut network find each other.
const ANNOUNCE_DOWN_EVERY: Duration = Duration::from_secs(10);
const ANNOUNCE_DOWN_TO: usize = 3;
/// How long those who are down are remembered. A cut that lasts longer has to be joined over anew.
const REMEMBER_DOWN: Duration = Duration::from_secs(24 * 3600);

/// A wait of `foca`.
pub(super) type SwimTimer = foca::Timer<Identity>;

/// What `foca` waits for, in order; of two at once the one that was asked for first.
#[derive(Debug, Default)]
pub(super) struct SwimTimers {
    pub(super) due: BTreeMap<(Time, u64), SwimTimer>,
    pub(super) asked: u64,
}

/// What depends on the number of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fit {
    transmissions: NonZeroU8,
    suspicion: Duration,
}

/// What `foca` tells of itself.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Joined,
    Alone,
    Renewed(u64),
    /// This node suspects somebody, in that incarnation.
    Suspects(Identity, u16),
}

impl Fit {
    pub(super) fn of(settings: &Settings, members: usize) -> Self {
        let members = u32::try_from(members).expect("members are few");
        let logarithm = libm::log10(f64::from(members) + 1.0);
        let times =
            (1..=255u8).find(|&it| f64::from(it) >= f64::from(settings.retransmit) * logarithm);
        let transmissions = NonZeroU8::new(times.unwrap_or(255)).expect("it begins with one");
        let periods = f64::from(settings.suspicion) * libm::log10(f64::from(members)).max(1.0);
        Self { transmissions, suspicion: settings.probe_every.mul_f64(periods) }
    }

    /// What `foca` is told to do.
    pub(super) fn config(self, settings: &Settings) -> foca::Config {
        let few = |count: usize| NonZeroUsize::new(count).expect("it is not zero");
        let periodic = |frequency, count| PeriodicParams { frequency, num_members: few(count) };
        foca::Config {
            probe_period: settings.probe_every,
            probe_rtt: settings.answer_within,
            num_indirect_probes: few(usize::from(settings.indirect)),
            max_transmissions: self.transmissions,
            suspect_to_down_after: self.suspicion,
            remove_down_after: Some(REMEMBER_DOWN),
            max_packet_size: few(PACKET_MAX),
            notify_down_members: true,
            periodic_announce: Some(periodic(ANNOUNCE_EVERY, 1)),
            periodic_announce_to_down_members: Some(periodic(
                ANNOUNCE_DOWN_EVERY,
                ANNOUNCE_DOWN_TO,
            )),
            periodic_gossip: settings.gossip_every.map(|every| periodic(every, GOSSIP_TO)),
        }
    }
}

impl SwimTimers {
    fn set(&mut self, timer: SwimTimer, at: Time) {
        // An older life of the same member is forgotten with the newer one.
        if let SwimTimer::RemoveDown(down) = &timer {
            self.due.retain(|_, it| match it {
                SwimTimer::RemoveDown(other) => other.name != down.name,
                _ => true,
            });
        }
        self.asked += 1;
        self.due.insert((at, self.asked), timer);
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Has all of it wait so much longer.
    pub(super) fn delay(&mut self, by: Duration) {
        let due = std::mem::take(&mut self.due).into_iter();
        self.due = due.map(|((at, number), timer)| ((at.after(by), number), timer)).collect();
    }

    pub(super) fn expired(&mut self, now: Time) -> Option<SwimTimer> {
        let first = self.due.first_entry().filter(|it| it.key().0 <= now)?;
        Some(first.remove())
    }
}

/// What `foca` may do to the world.
pub(super) struct Effects<'a, 'b, 'c> {
    pub(super) cx: &'a mut Context<'b, Node>,
    pub(super) timers: &'c mut SwimTimers,
    pub(super) turns: &'c mut Vec<Turn>,
    pub(super) counters: &'c mut Counters,
}

impl foca::Runtime<Identity> for Effects<'_, '_, '_> {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::Active => self.turns.push(Turn::Joined),
            Notification::Idle => self.turns.push(Turn::Alone),
            Notification::Rejoin(identity) => self.turns.push(Turn::Renewed(identity.generation)),
            // The ledger knows of members, and who goes has asked for it.
            Notification::MemberUp(_)
            | Notification::MemberDown(_)
            | Notification::Rename(..)
            | Notification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        let message = Message(Body::Swim(Bytes::copy_from_slice(data)));
        self.counters.sent += 1;
        self.counters.sent_bytes += message.length() as u64;
        self.cx.send(to.address, message);
    }

    fn submit_after(&mut self, event: SwimTimer, after: Duration) {
        if let SwimTimer::ChangeSuspectToDown { member_id, incarnation, .. } = &event {
            self.turns.push(Turn::Suspects(member_id.clone(), *incarnation));
        }
        self.timers.set(event, self.cx.now.after(after));
    }
}
