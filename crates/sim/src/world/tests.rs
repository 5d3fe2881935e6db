//! A chatty machine under all that a world can do to it: one digest whatever the threads, and
//! whether its messages are bytes or not.

use std::{collections::BTreeMap, hash::Hash, time::Duration};

use bytes::Bytes;
use nigh_base::{
    Address, Digest, Machine, Rng, Time,
    machine::{Coded, Context, DiskError, Input, LINK_QUEUE_FULL, Link, Output, Slot},
    wire::{Reader, Wire, WireError},
};

use super::World;
use crate::{
    Bandwidth, HostId, Latency, Network, Places,
    plan::{self, Mix},
};

/// Rumours: each host that hears a number passes it on to hosts that it draws, until it is small;
/// a timer starts new ones; the sum of all that was heard is saved now and then.
#[derive(Debug, Hash)]
struct Gossip {
    hosts: u32,
    heard: u64,
    sum: u64,
    next: Time,
    saved: u64,
    last: Option<Result<Option<Bytes>, DiskError>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rumour(u64);

impl Wire for Rumour {
    const MAX: usize = 8;
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.u64().map(Self)
    }
}

impl Gossip {
    fn new(hosts: u32) -> Self {
        Self { hosts, heard: 0, sum: 0, next: Time::from_secs(1), saved: 0, last: None }
    }

    fn anybody(&self, rng: &mut Rng) -> Address {
        HostId(u32::try_from(rng.below(self.hosts.into())).unwrap()).address()
    }
}

impl Machine for Gossip {
    type Message = Rumour;
    type Command = ();
    type Event = u64;

    fn handle(&mut self, input: Input<Rumour, ()>, cx: &mut Context<'_, Self>) {
        match input {
            Input::Wake if cx.now >= self.next => {
                self.next =
                    cx.now.after(cx.rng.between(Duration::from_millis(1), Duration::from_secs(2)));
                let number = cx.secrets.number() % 8;
                let to = self.anybody(cx.rng);
                cx.send(to, Rumour(number));
            }
            Input::Message { message: Rumour(number), .. } => {
                self.heard += 1;
                self.sum = self.sum.wrapping_mul(31).wrapping_add(number);
                for _ in 0..number.min(2) {
                    let to = self.anybody(cx.rng);
                    cx.send(to, Rumour(number - 1));
                }
                if self.heard.is_multiple_of(10) {
                    cx.tell(self.heard);
                    let bytes = Bytes::copy_from_slice(&self.heard.to_be_bytes());
                    cx.emit(Output::Save { slot: Slot(1), bytes });
                }
            }
            Input::Command(()) => cx.emit(Output::Load { slot: Slot(1) }),
            Input::Saved { .. } => self.saved += 1,
            Input::Loaded { bytes, .. } => self.last = Some(Ok(bytes)),
            Input::Failed { cause, .. } => self.last = Some(Err(cause)),
            _ => {}
        }
    }

    fn wake_at(&self) -> Option<Time> {
        Some(self.next)
    }

    fn digest(&self, digest: &mut Digest) {
        self.hash(digest);
    }

    fn check(&self) {
        assert!(self.heard > 0 || self.sum == 0, "a sum of nothing");
    }
}

fn weather(seed: u64, hosts: usize) -> Network {
    let mut rng = Rng::new(seed);
    let places = Places::spread(hosts, Duration::from_millis(60), &mut rng);
    let mut network = Network::new(Latency::Placed(places.into()));
    network.jitter = Duration::from_millis(10);
    (network.loss, network.duplication, network.reordering) = (0.05, 0.05, 0.1);
    network
}

/// A minute of gossip under drawn faults; the digest, and what was told.
fn minute<T>(
    seed: u64,
    threads: u32,
    build: impl Fn(Gossip) -> T,
) -> (u64, Vec<(Time, HostId, u64)>)
where
    T: Machine<Event = u64> + Send,
    T::Message: Wire + Clone + Send,
    T::Command: Send,
{
    const HOSTS: u32 = 40;
    let mut network = weather(seed, HOSTS as usize);
    if seed.is_multiple_of(2) {
        let queue = Duration::from_millis(200);
        network.bandwidth = Some(Bandwidth { up: 20_000, down: 50_000, queue });
    }
    let mut world = World::on_threads(seed, network, threads);
    world.check_always();
    let hosts: Vec<HostId> = (0..HOSTS).map(|_| world.add(build(Gossip::new(HOSTS)))).collect();
    let mix = Mix {
        from: Time::from_secs(5),
        until: Time::from_secs(50),
        every: Duration::from_secs(1),
        down_max: 10,
        loss_max: 0.3,
        parting: true,
    };
    for step in plan::draw(mix, &hosts, &mut Rng::new(seed).fork(1)) {
        world.run_until(step.at);
        plan::apply(&mut world, &step.fault, &mut |_| build(Gossip::new(HOSTS)));
    }
    world.run_until(Time::from_secs(60));
    let counts = world.counts();
    assert!(counts.inputs > 5000 && counts.lost > 100, "{counts:?}");
    let told = world.take_events();
    (world.digest(), told.into_iter().map(|told| (told.at, told.host, told.event)).collect())
}

#[test]
fn one_seed_has_one_digest_on_one_thread_or_more_in_types_or_in_bytes() {
    for seed in 0..4 {
        let first = minute(seed, 1, |machine| machine);
        assert_eq!(first, minute(seed, 1, |machine| machine), "again, seed {seed}");
        assert_eq!(first, minute(seed, 1, Coded::new), "in bytes, seed {seed}");
        // Threads that wait for each other at each step take long where there are few processors.
        match seed {
            0 => assert_eq!(first, minute(seed, 2, |machine| machine), "two threads"),
            1 => assert_eq!(first, minute(seed, 5, Coded::new), "five threads, in bytes"),
            _ => {}
        }
        assert_ne!(first.0, minute(seed + 100, 1, |machine| machine).0);
    }
}

#[test]
fn what_was_saved_before_a_crash_is_there_after_it() {
    let mut world = World::new(3, weather(3, 2));
    let [a, _] = [(); 2].map(|()| world.add(Gossip::new(2)));
    while world.machine(a).unwrap().saved == 0 {
        assert!(world.step());
    }
    let heard = world.machine(a).unwrap().saved * 10;
    world.crash(a);
    assert!(!world.is_up(a));
    world.run_until(world.now().after(Duration::from_secs(5)));
    world.restart(a, Gossip::new(2));
    world.command(a, ());
    world.run_until(world.now().after(Duration::from_millis(10)));
    let Some(Ok(Some(bytes))) = &world.machine(a).unwrap().last else {
        panic!("{:?}", world.machine(a))
    };
    assert!(u64::from_be_bytes(bytes[..].try_into().unwrap()) >= heard);
}

#[test]
fn a_slot_that_has_rotted_is_damaged() {
    let mut world = World::new(4, weather(4, 2));
    let [a, _] = [(); 2].map(|()| world.add(Gossip::new(2)));
    while world.machine(a).unwrap().saved == 0 {
        assert!(world.step());
    }
    world.disk_mut(a).rot(1);
    world.command(a, ());
    world.run_until(world.now().after(Duration::from_millis(10)));
    assert_eq!(world.machine(a).unwrap().last, Some(Err(DiskError::Damaged)));
}

#[test]
fn a_paused_host_goes_on_with_what_came_meanwhile() {
    let network = Network::new(Latency::Constant(Duration::from_millis(10)));
    let mut world = World::new(5, network);
    let hosts = [(); 3].map(|()| world.add(Gossip::new(3)));
    world.run_until(Time::from_secs(10));
    world.pause(hosts[0]);
    let heard = world.machine(hosts[0]).unwrap().heard;
    world.run_until(Time::from_secs(20));
    assert_eq!(world.machine(hosts[0]).unwrap().heard, heard);
    world.resume(hosts[0]);
    world.run_until(Time::from_secs(20).after(Duration::from_millis(1)));
    assert!(world.machine(hosts[0]).unwrap().heard > heard + 5);
    assert!(world.machine(hosts[0]).unwrap().next > Time::from_secs(20));
}

#[test]
#[should_panic(expected = "the machine would spin")]
fn a_machine_that_would_spin_is_caught() {
    #[derive(Debug)]
    struct Spinning;
    impl Machine for Spinning {
        type Message = Rumour;
        type Command = ();
        type Event = ();
        fn handle(&mut self, _: Input<Rumour, ()>, _: &mut Context<'_, Self>) {}
        fn wake_at(&self) -> Option<Time> {
            Some(Time::from_secs(1))
        }
        fn digest(&self, _: &mut Digest) {}
    }
    let mut world = World::new(1, Network::new(Latency::Constant(Duration::from_millis(1))));
    world.add(Spinning);
    world.run_until(Time::from_secs(2));
}

/// Sends what it is told to along a link, as fast as there is room, and counts what comes.
#[derive(Debug, Default)]
struct Pump {
    to_send: usize,
    sent: usize,
    room: bool,
    link: Option<Link>,
    received: BTreeMap<Link, (usize, u64)>,
    closed: Vec<Link>,
}

impl Pump {
    fn go_on(&mut self, cx: &mut Context<'_, Self>) {
        let Some(link) = self.link else { return };
        let mut burst = 0;
        while self.room && self.sent < self.to_send {
            let count = 10_000.min(self.to_send - self.sent);
            let bytes = (self.sent..self.sent + count).map(|at| u8::try_from(at % 251).unwrap());
            cx.emit(Output::Send { link, bytes: bytes.collect() });
            self.sent += count;
            burst += count;
            self.room = burst < LINK_QUEUE_FULL;
        }
        if self.sent == self.to_send {
            cx.emit(Output::Close { link });
            self.link = None;
        }
    }
}

impl Machine for Pump {
    type Message = Rumour;
    type Command = (HostId, usize);
    type Event = ();

    fn handle(&mut self, input: Input<Rumour, (HostId, usize)>, cx: &mut Context<'_, Self>) {
        match input {
            Input::Command((peer, to_send)) => {
                self.to_send = to_send;
                cx.emit(Output::Open { link: Link(1), peer: peer.address() });
            }
            Input::Opened { link, .. } if link.0 % 2 == 1 => {
                (self.link, self.room) = (Some(link), true);
                self.go_on(cx);
            }
            Input::Drained { .. } => {
                self.room = true;
                self.go_on(cx);
            }
            Input::Received { link, bytes } => {
                let (count, wrong) = self.received.entry(link).or_default();
                for &byte in &bytes {
                    *wrong += u64::from(usize::from(byte) != *count % 251);
                    *count += 1;
                }
            }
            Input::Closed { link } => self.closed.push(link),
            _ => {}
        }
    }

    fn wake_at(&self) -> Option<Time> {
        None
    }

    fn digest(&self, _: &mut Digest) {}
}

fn pumps(bandwidth: Option<Bandwidth>) -> (World<Pump>, HostId, HostId) {
    let mut network = Network::new(Latency::Constant(Duration::from_millis(40)));
    // What befalls datagrams does not befall streams.
    (network.loss, network.reordering) = (0.5, 0.5);
    network.bandwidth = bandwidth;
    let mut world = World::new(1, network);
    let [a, b] = [(); 2].map(|()| world.add(Pump::default()));
    (world, a, b)
}

#[test]
fn a_link_carries_bytes_in_order_with_back_pressure_and_ends_once() {
    let (mut world, a, b) = pumps(None);
    world.command(a, (b, 3_000_000));
    world.run_until(Time::from_secs(20));
    let (sender, receiver) = (world.machine(a).unwrap(), world.machine(b).unwrap());
    assert_eq!(receiver.received[&Link(2)], (3_000_000, 0));
    assert_eq!((&receiver.closed[..], &sender.closed[..]), (&[Link(2)][..], &[][..]));
}

#[test]
fn bandwidth_bounds_what_a_link_carries() {
    let queue = Duration::from_secs(1);
    let (mut world, a, b) = pumps(Some(Bandwidth { up: 100_000, down: 100_000, queue }));
    world.command(a, (b, 3_000_000));
    world.run_until(Time::from_secs(10));
    let (count, wrong) = world.machine(b).unwrap().received[&Link(2)];
    assert!((900_000..=1_010_000).contains(&count) && wrong == 0, "{count}");
}

#[test]
fn a_dial_to_nobody_is_refused_and_one_into_a_partition_gives_up() {
    let (mut world, a, b) = pumps(None);
    world.crash(b);
    world.command(a, (b, 1));
    world.run_until(Time::from_secs(1));
    assert_eq!(world.machine(a).unwrap().closed, [Link(1)]);
    let (mut world, a, b) = pumps(None);
    world.network_mut().part(&[a], &[b]);
    world.command(a, (b, 1));
    world.run_until(Time::from_secs(2));
    assert!(world.machine(a).unwrap().closed.is_empty());
    world.run_until(Time::from_secs(4));
    assert_eq!(world.machine(a).unwrap().closed, [Link(1)]);
}

#[test]
fn a_crash_closes_the_links_of_its_peers() {
    let (mut world, a, b) = pumps(None);
    world.command(a, (b, 100_000_000));
    world.run_until(Time::from_secs(2));
    world.crash(b);
    world.run_until(Time::from_secs(3));
    assert_eq!(world.machine(a).unwrap().closed, [Link(1)]);
}
