//! A window of time in which no host can feel what another does: its hosts are gone through one by
//! one, each with all that is due at it.
//!
//! Whatever the order of hosts, each sees its own inputs in the same order, and that is all that a
//! machine can tell. Going through memory once, instead of jumping to wherever the next entry leads,
//! makes a world of a million hosts twice as fast.

use std::collections::BinaryHeap;

use nigh_base::{Machine, Time, wire::Wire};

use super::{Shard, What};
use crate::{
    Network,
    queue::{Alarm, Entry, Place, Reversed},
};

/// Hosts of one range: its part of the world stays in the processor's cache while it is sorted.
const RANGE: usize = 4096;
/// Entries that a range keeps room for, from one window to the next.
const KEPT: usize = 512;

/// What is due in a window.
#[derive(Debug)]
pub(super) struct Window<T: Machine> {
    /// When it ends; the start of time when none is running.
    pub(super) end: Time,
    /// The host whose turn it is.
    pub(super) host: u32,
    /// What a host has caused for itself within the window.
    pub(super) soon: BinaryHeap<Reversed<Entry<What<T>>>>,
    ranges: Vec<Vec<Option<Entry<What<T>>>>>,
    /// In which order the entries of a range come: they are large, and stay where they are.
    order: Vec<Turn>,
    alarms: Vec<Alarm>,
}

/// Where an entry stands among those of its range, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    to: u32,
    at: Time,
    from: u32,
    number: u32,
    index: u32,
}

impl<T: Machine> Default for Window<T> {
    fn default() -> Self {
        Self {
            end: Time::START,
            host: 0,
            soon: BinaryHeap::new(),
            ranges: Vec::new(),
            order: Vec::new(),
            alarms: Vec::new(),
        }
    }
}

/// The entries of a range, and the turns that are left.
struct Left<'a, T: Machine> {
    entries: &'a mut [Option<Entry<What<T>>>],
    turns: &'a [Turn],
}

impl<T> Shard<T>
where
    T: Machine,
    T::Message: Wire + Clone,
{
    /// Lets happen all that is due before `end`, which no host can feel of another.
    pub(super) fn run_window(&mut self, end: Time, network: &Network) {
        let of = self.of;
        let Self { queue, alarms, window, hosts, .. } = self;
        // One range more, for addresses that no host has.
        window.ranges.resize_with(hosts.len() / RANGE + 2, Vec::new);
        let last = window.ranges.len() - 1;
        let range_of = |to: u32| ((to / of) as usize / RANGE).min(last);
        queue.drain_before(end, |entry| {
            window.ranges[range_of(entry.place.to)].push(Some(entry));
        });
        let mut due = std::mem::take(&mut window.alarms);
        alarms.drain_before(end, |alarm| due.push(alarm));
        due.sort_unstable_by_key(|alarm| alarm.to);
        window.end = end;
        let mut ringing = due.drain(..).peekable();
        for range in 0..=last {
            let mut entries = std::mem::take(&mut self.window.ranges[range]);
            let mut order = std::mem::take(&mut self.window.order);
            order.extend(entries.iter().flatten().zip(0..).map(|(entry, index)| {
                let Place { at, to, from, number } = entry.place;
                Turn { to, at, from, number, index }
            }));
            order.sort_unstable();
            let mut left = Left { entries: &mut entries, turns: &order };
            loop {
                let alarm = ringing.peek().map(|alarm| alarm.to);
                let alarm = alarm.filter(|&to| range_of(to) == range);
                let entry = left.turns.first().map(|turn| turn.to);
                let Some(host) = alarm.into_iter().chain(entry).min() else { break };
                while ringing.next_if(|alarm| alarm.to == host).is_some() {}
                self.window.host = host;
                self.run_host(host, &mut left, network);
            }
            order.clear();
            self.window.order = order;
            entries.clear();
            entries.shrink_to(KEPT);
            self.window.ranges[range] = entries;
        }
        drop(ringing);
        self.window.alarms = due;
        self.window.end = Time::START;
    }

    /// Lets happen all that is due at one host within the window.
    fn run_host(&mut self, to: u32, left: &mut Left<'_, T>, network: &Network) {
        loop {
            let end = self.window.end;
            let wake = self.hosts.get((to / self.of) as usize).and_then(|host| {
                let paused = host.more.as_ref().is_some_and(|more| more.paused.is_some());
                Some(host.wake).filter(|&at| at < end && !paused)
            });
            let turn = left.turns.first().copied().filter(|turn| turn.to == to);
            let next = turn.map(|Turn { to, at, from, number, .. }| Place { at, to, from, number });
            let soon = self.window.soon.peek().map(|entry| entry.0.place);
            let first = next.into_iter().chain(soon).min();
            match (wake, first) {
                (Some(at), first) if first.is_none_or(|place| at <= place.at) => {
                    self.ring(Alarm { at, to }, network);
                }
                (_, Some(first)) => {
                    let entry = if Some(first) == next {
                        left.turns = &left.turns[1..];
                        turn.and_then(|turn| left.entries[turn.index as usize].take())
                    } else {
                        self.window.soon.pop().map(|entry| entry.0)
                    };
                    if let Some(entry) = entry {
                        self.happen(entry, network);
                    }
                }
                (_, None) => return,
            }
        }
    }
}
