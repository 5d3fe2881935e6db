//! `nigh node`: a node of an overlay on real sockets, from joining to leaving.
//!
//! ```text
//! signals, minutes --> live() --- commands --> driver --- the machine, datagrams, timers
//!          stdout <------'   <---- events -------'            ^
//!          stderr <------------- looked at each minute -------'
//! ```
//! All of it is one thread: the machine is looked at between two inputs.

mod replay;
mod shared;

use std::{io::Write, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use clap::error::ErrorKind;
use nigh_base::{Address, Key, machine::Coded};
use nigh_net::{
    driver::{Driver, HandleOf, Settings},
    entropy,
};
use nigh_overlay::locate::{
    Command, Event, Failure, LEAVE_MAX, Overlay, VIA_MAX, can,
    chord::{self, Several},
    circle::{self, Repair},
    kademlia::{self, secure_id},
    koorde, node, pastry, tapestry, viceroy,
};
use serde_json::{Value, json};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, interval_at, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use self::shared::Shared;
use crate::cli;

/// What the driver runs.
type Ours<T> = Shared<Coded<T>>;

/// Runs a node until SIGTERM or Ctrl-C, or replays one.
pub(crate) fn run(flags: &cli::Node) -> anyhow::Result<()> {
    check(flags);
    match flags.overlay {
        cli::Overlay::Chord => run_overlay(flags, chord, |_| None),
        cli::Overlay::Kademlia => run_overlay(flags, kademlia, moved),
        cli::Overlay::Pastry => run_overlay(flags, pastry, |_| None),
        cli::Overlay::Tapestry => run_overlay(flags, tapestry, |_| None),
        cli::Overlay::Can => run_overlay(flags, can, |_| None),
        cli::Overlay::Koorde => run_overlay(flags, koorde, |_| None),
        cli::Overlay::Viceroy => run_overlay(flags, viceroy, |_| None),
    }
}

/// What is said of an event that only one kind of overlay has: for scripts, and for people.
type Told = Option<(Value, String)>;

/// `make` makes the machine of a node that is reached at an address; `tells` says what is said of its own
/// events.
fn run_overlay<T: Overlay>(
    flags: &cli::Node,
    make: fn(&cli::Node, Address) -> T,
    tells: fn(&T::Event) -> Told,
) -> anyhow::Result<()> {
    if let Some(path) = &flags.recording.replay {
        let machine = Coded::new(make(flags, advertised(flags, flags.listen)));
        return replay::run(path, machine, flags.json);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(flags, make, tells))
}

async fn serve<T: Overlay>(
    flags: &cli::Node,
    make: fn(&cli::Node, Address) -> T,
    tells: fn(&T::Event) -> Told,
) -> anyhow::Result<()> {
    // Signals are heard from before anyone is told that the node is there.
    let signals = Signals::new()?;
    let settings = Settings { listen: flags.listen, slots: None, seed: entropy::seed() };
    let make = |bound| Shared::new(Coded::new(make(flags, advertised(flags, bound))));
    let (mut driver, handle) = Driver::bind_with(settings, make)?;
    if let Some(path) = &flags.recording.record {
        driver.record(path)?;
    }
    let node = Node { flags, machine: driver.machine().clone(), handle, signals, tells };
    // The node ends first, and the driver because the node's handle is gone.
    let (_, lived) = tokio::join!(driver.run(), node.live());
    lived
}

/// A running node, as its operator sees it.
struct Node<'a, T: Overlay> {
    flags: &'a cli::Node,
    machine: Ours<T>,
    handle: HandleOf<Ours<T>>,
    signals: Signals,
    tells: fn(&T::Event) -> Told,
}

impl<T: Overlay> Node<'_, T> {
    async fn live(mut self) -> anyhow::Result<()> {
        self.say_where();
        self.command(Command::Join { via: self.flags.join.clone() }).await;
        let lived = self.until_told_to_end().await;
        match self.leaves().await {
            Some(untaken) => {
                if untaken > 0 {
                    warn!(values = untaken, "nobody has taken over what this node alone held");
                }
                // Who never came is not said to have left.
                if matches!(lived, Ok(true)) {
                    self.say("left", "left");
                }
            }
            None => warn!("ending without having left"),
        }
        lived.map(drop)
    }

    /// Says whether it has joined by then.
    async fn until_told_to_end(&mut self) -> anyhow::Result<bool> {
        let begun = Instant::now();
        let (patience, limit) = (begun + PATIENCE, begun + self.flags.join_timeout);
        let mut reports = interval_at(begun + REPORT_EVERY, REPORT_EVERY);
        let (mut has_joined, mut has_complained) = (false, false);
        loop {
            select! {
                event = self.handle.events.recv() => {
                    let event = event.expect(DRIVEN);
                    if let Some((fields, text)) = (self.tells)(&event) {
                        self.print(&fields, &text);
                    }
                    match T::told(event) {
                        Some(Event::Joined) => {
                            has_joined = true;
                            self.say("joined", "joined");
                        }
                        Some(Event::JoinFailed(why)) => return Err(self.cannot_join(why)),
                        other => debug!(?other, "nobody asked for this"),
                    }
                }
                () = sleep_until(patience), if !has_joined && !has_complained => {
                    has_complained = true;
                    let ways = list(&self.flags.join);
                    warn!("nobody has let this node in yet through {ways}; it goes on trying");
                }
                () = sleep_until(limit), if !has_joined => return Err(self.joins_too_long()),
                _ = reports.tick(), if has_joined => self.report(),
                () = self.signals.any() => return Ok(has_joined),
            }
        }
    }

    /// Hands on what it holds and tells the neighbours; how many values nobody took, or none if that
    /// takes too long or its operator does not wait for it.
    async fn leaves(&mut self) -> Option<usize> {
        self.command(Command::Leave).await;
        let events = &mut self.handle.events;
        let left = async {
            loop {
                let event = events.recv().await.expect(DRIVEN);
                if let Some(Event::Left { untaken }) = T::told(event) {
                    return untaken;
                }
            }
        };
        select! {
            left = timeout(LEAVE_TIME, left) => left.ok(),
            () = self.signals.any() => None,
        }
    }

    async fn command(&self, command: Command) {
        self.handle.commands.send(command.into()).await.expect(DRIVEN);
    }

    fn say_where(&self) {
        let nodes = self.machine.look().machine().contacts();
        let keys: Vec<String> = nodes.iter().map(|it| it.key.to_string()).collect();
        let (bound, address) = (self.handle.address, nodes[0].address);
        let reached = if Address::from(bound) == address {
            String::new()
        } else {
            format!(", reached at {address},")
        };
        let text = format!("listening on {bound}{reached} as {}", keys.join(" "));
        let fields = json!({ "what": "listening", "listen": bound.to_string(),
            "address": address.to_string(), "keys": keys });
        self.print(&fields, &text);
    }

    fn say(&self, what: &str, text: &str) {
        self.print(&json!({ "what": what }), text);
    }

    fn print(&self, fields: &Value, text: &str) {
        if let Err(error) = print(self.flags.json, fields, text) {
            // Who has stopped reading does not stop the node.
            debug!(%error, text, "nobody was told");
        }
    }

    fn report(&self) {
        let machine = self.machine.look();
        let counts = self.handle.counters.read();
        info!(
            knows = machine.machine().acquaintances(),
            values = machine.machine().held(),
            datagrams_in = counts.datagrams_in,
            datagrams_out = counts.datagrams_out,
            refused = machine.refused(),
            "in the overlay"
        );
    }

    fn cannot_join(&self, why: Failure) -> anyhow::Error {
        let next = match why {
            Failure::KeyTaken if self.flags.place.id.is_some() => {
                "choose another with --id; if an earlier run of this node had it at another \
                 address, its neighbours notice within a minute that it is gone"
                    .to_owned()
            }
            Failure::KeyTaken => {
                "choose another with --id, or listen on another address".to_owned()
            }
            _ => self.is_a_node_there(),
        };
        anyhow!(why).context(format!("cannot join through {}; {next}", list(&self.flags.join)))
    }

    fn joins_too_long(&self) -> anyhow::Error {
        let limit = cli::in_units(self.flags.join_timeout);
        anyhow!("nobody let this node in within {limit}").context(format!(
            "cannot join through {}; {}",
            list(&self.flags.join),
            self.is_a_node_there()
        ))
    }

    fn is_a_node_there(&self) -> String {
        let first = self.flags.join.first().map(|via| format!(" --via {via}"));
        let first = first.unwrap_or_default();
        let overlay = self.flags.overlay.flag();
        format!("is a node there? ask it: `nigh locate anything{overlay}{first}`")
    }
}

/// Prints what has happened, in the form that was asked for.
fn print(as_json: bool, fields: &Value, text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{fields}")?;
    } else {
        writeln!(out, "{text}")?;
    }
    out.flush()
}

/// Ends with 2 if the flags do not fit together.
fn check(flags: &cli::Node) {
    let wrong =
        |message: String| -> ! { cli::used_wrongly("node", ErrorKind::ValueValidation, &message) };
    let cli::Node { overlay, listen, advertise, join, copies, place, ring, others, .. } = flags;
    if advertise.is_none() && listen.ip().is_unspecified() {
        wrong(format!(
            "{} means every address of this machine: say with --advertise ADDR:PORT at which one \
             others reach this node",
            listen.ip()
        ));
    }
    let others_with_copies = match overlay {
        cli::Overlay::Chord => Some((ring.successors, "successors", "--successors", 1)),
        cli::Overlay::Pastry | cli::Overlay::Koorde | cli::Overlay::Viceroy => {
            Some((others.leaves / 2, "leaves on a side", "--leaves", 2))
        }
        cli::Overlay::Kademlia | cli::Overlay::Tapestry | cli::Overlay::Can => None,
    };
    if *overlay == cli::Overlay::Tapestry && usize::from(*copies) > tapestry::CELL_MAX {
        wrong(format!("in Tapestry a value has {} copies at most", tapestry::CELL_MAX));
    }
    if let Some((count, what, flag, sides)) = others_with_copies
        && *copies > count + 1
    {
        wrong(format!(
            "{copies} copies lie with the node and {} {what}: give it {flag} {} at least",
            copies - 1,
            (copies - 1) * sides
        ));
    }
    if place.places > 1 && *overlay != cli::Overlay::Chord {
        wrong("only in Chord a host has several places".to_owned());
    }
    if ring.proximity > ring.successors {
        wrong(format!(
            "{} candidates are among the successors, and {} are known",
            ring.proximity, ring.successors
        ));
    }
    if join.len() > VIA_MAX {
        wrong(format!("{} ways in are too many: {VIA_MAX} are tried", join.len()));
    }
    if join.contains(&advertised(flags, *listen)) {
        wrong("a node cannot join through itself: leave --join out to begin a ring".to_owned());
    }
    if let Some(message) = other_family(*listen, *advertise, join) {
        wrong(message);
    }
    if flags.recording.replay.is_some() && listen.port() == 0 && advertise.is_none() {
        wrong("the recorded node had got a port: say which, with --listen".to_owned());
    }
}

/// Whether a socket that is bound there has datagrams of both families.
fn speaks_both(listen: SocketAddr) -> bool {
    listen.is_ipv6() && listen.ip().is_unspecified()
}

/// What is wrong with addresses that a socket at `listen` does not reach, or is not reached at.
fn other_family(
    listen: SocketAddr,
    advertise: Option<Address>,
    join: &[Address],
) -> Option<String> {
    let family = |is_v6: bool| if is_v6 { "IPv6" } else { "IPv4" };
    let is_other = |it: &Address| !speaks_both(listen) && it.as_v4().is_none() != listen.is_ipv6();
    let advertise = advertise.map(|it| ("--advertise", it));
    let (flag, address) = advertise
        .into_iter()
        .chain(join.iter().map(|&it| ("--join", it)))
        .find(|(_, address)| is_other(address))?;
    let (theirs, ours) = (family(address.as_v4().is_none()), family(listen.is_ipv6()));
    Some(format!(
        "{flag} {address} is an {theirs} address, and a node that listens on {listen} has {ours} alone: \
         give it one of {ours}, or listen on [::]:{} to have both",
        listen.port()
    ))
}

/// Where others reach the node, if it listens at `bound`.
fn advertised(flags: &cli::Node, bound: SocketAddr) -> Address {
    flags.advertise.unwrap_or_else(|| bound.into())
}

/// The nodes of a ring at that address, before their first input.
fn chord(flags: &cli::Node, address: Address) -> Several {
    let ring = &flags.ring;
    let settings = chord::Settings {
        successors: ring.successors.into(),
        copies: flags.copies,
        routing: flags.routing.unwrap_or(cli::Way::Iterative).into(),
        proximity: ring.proximity.into(),
        stabilise_every: flags.upkeep,
        ..chord::Settings::default()
    };
    let keys: Vec<Key> = match flags.place.id {
        Some(key) => vec![key],
        None => Several::keys(address, flags.place.places.into()),
    };
    Several::new(&keys, address, &Arc::new(settings))
}

/// The node of a DHT at that address, before its first input.
fn kademlia(flags: &cli::Node, address: Address) -> kademlia::Node {
    let dht = &flags.dht;
    let v6 = address.as_v4().is_none();
    let settings = kademlia::Settings {
        bucket: dht.bucket.into(),
        parallel: dht.parallel.into(),
        paths: dht.paths.into(),
        v4: !v6 || speaks_both(flags.listen),
        v6: v6 || speaks_both(flags.listen),
        read_only: dht.read_only,
        // An id that was given stays.
        fits_address: flags.place.id.is_none(),
        questions_a_second: (dht.questions > 0).then_some(dht.questions),
        upkeep_every: flags.upkeep,
        ..kademlia::Settings::default()
    };
    let key = flags.place.id.unwrap_or_else(|| id_at(address));
    kademlia::Node::new(key, address, Arc::new(settings))
}

/// What nodes are told in each overlay in which a key has one owner.
fn common(flags: &cli::Node) -> node::Settings {
    node::Settings {
        copies: flags.copies,
        routing: flags.routing.unwrap_or(cli::Way::Recursive).into(),
        upkeep_every: flags.upkeep,
    }
}

/// The same on a circle with leaf sets.
fn circle(flags: &cli::Node) -> circle::Settings {
    let repair = if flags.others.reactive { Repair::Reactive } else { Repair::Periodic };
    circle::Settings { node: common(flags), leaves: flags.others.leaves.into(), repair }
}

/// The key of a node at that address, in an overlay in which a host has one.
fn key(flags: &cli::Node, address: Address) -> Key {
    flags.place.id.unwrap_or_else(|| Key::of(address.to_string().as_bytes()))
}

/// The node of Pastry at that address, before its first input.
fn pastry(flags: &cli::Node, address: Address) -> pastry::Node {
    let digit_bits = flags.others.digit_bits.into();
    let settings = pastry::Settings { circle: circle(flags), digit_bits, locality: true };
    pastry::Node::new(key(flags, address), address, Arc::new(settings))
}

/// The node of Tapestry at that address, before its first input.
fn tapestry(flags: &cli::Node, address: Address) -> tapestry::Node {
    let plain = tapestry::Settings::default();
    let settings = tapestry::Settings {
        node: common(flags),
        digit_bits: flags.others.digit_bits.into(),
        cell: plain.cell.max(flags.copies.into()),
        ..plain
    };
    tapestry::Node::new(key(flags, address), address, Arc::new(settings))
}

/// The node of CAN at that address, before its first input.
fn can(flags: &cli::Node, address: Address) -> can::Node {
    let settings = can::Settings {
        node: common(flags),
        dimensions: flags.others.dimensions.into(),
        realities: flags.others.realities,
        ..can::Settings::default()
    };
    can::Node::new(key(flags, address), address, Arc::new(settings))
}

/// The node of Koorde at that address, before its first input.
fn koorde(flags: &cli::Node, address: Address) -> koorde::Node {
    let degree_bits = flags.others.degree_bits.into();
    let settings =
        koorde::Settings { circle: circle(flags), degree_bits, ..koorde::Settings::default() };
    koorde::Node::new(key(flags, address), address, Arc::new(settings))
}

/// The node of Viceroy at that address, before its first input.
fn viceroy(flags: &cli::Node, address: Address) -> viceroy::Node {
    let settings = viceroy::Settings { circle: circle(flags) };
    viceroy::Node::new(key(flags, address), address, Arc::new(settings))
}

/// An id that fits the address (BEP 42): SHA-1 of it, with the beginning that it has to have there.
fn id_at(address: Address) -> Key {
    let key = Key::of(address.to_string().as_bytes());
    let ip = address.ip();
    if secure_id::fits(key, ip) { key } else { secure_id::bound(ip, key) }
}

/// What is said of a node that has another id now.
fn moved(event: &kademlia::Event) -> Told {
    let kademlia::Event::Moved { key, seen_at } = event else { return None };
    let fields = json!({ "what": "moved", "key": key.to_string(), "seen_at": seen_at.to_string() });
    Some((fields, format!("moved to {key}, which fits {}", seen_at.ip())))
}

/// Addresses as people write them one behind the other.
pub(crate) fn list(addresses: &[Address]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// What ends a node.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let hear = |kind| signal(kind).context("signals cannot be heard");
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: hear(terminate)?, interrupt: hear(interrupt)? })
    }

    async fn any(&mut self) {
        select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Why nothing that is said to the driver, or awaited from it, goes astray.
const DRIVEN: &str = "the driver runs for as long as it has a handle";
/// After so long without an answer the operator is told: longer than a busy node takes.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the log says how the node is.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// How long leaving may take: as long as the machine gives itself, and a little to say so.
const LEAVE_TIME: Duration = LEAVE_MAX.saturating_add(Duration::from_secs(1));

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn a_node_has_an_id_that_fits_where_it_says_that_it_is_reached() {
        for public in ["198.51.100.7:6881", "[2001:db8::7]:6881"].map(address) {
            assert!(secure_id::fits(id_at(public), public.ip()), "{public}");
            assert_ne!(id_at(public), id_at(public.with_port(6882)), "{public}");
        }
        // In a local network it is the SHA-1, as in other overlays.
        let local = address("127.0.0.1:4000");
        assert_eq!(id_at(local), Key::of(b"127.0.0.1:4000"));
    }

    #[test]
    fn another_id_is_said_in_words_and_for_scripts() {
        let (key, seen_at) = (Key::from(7), address("198.51.100.7:6881"));
        let (fields, text) = moved(&kademlia::Event::Moved { key, seen_at }).unwrap();
        assert_eq!(text, format!("moved to {key}, which fits 198.51.100.7"));
        let key = key.to_string();
        assert_eq!(fields, json!({ "what": "moved", "key": key, "seen_at": "198.51.100.7:6881" }));
    }

    #[test]
    fn addresses_are_of_the_family_that_the_node_listens_on() {
        let wrong = |listen: &str, advertise: Option<&str>, join: &[&str]| {
            let join: Vec<Address> = join.iter().map(|it| address(it)).collect();
            other_family(listen.parse().unwrap(), advertise.map(address), &join)
        };
        let (four, six) = ("192.0.2.7:4000", "[2001:db8::7]:4000");
        for (listen, advertise, join) in [
            ("127.0.0.1:4000", Some(four), [four]),
            (six, Some(six), [six]),
            ("[::]:1", Some(six), [four]),
        ] {
            assert_eq!(wrong(listen, advertise, &join), None);
        }
        let said = wrong("127.0.0.1:4000", None, &[four, six]).unwrap();
        assert!(said.starts_with("--join [2001:db8::7]:4000 is an IPv6 address"), "{said}");
        assert!(
            said.ends_with("give it one of IPv4, or listen on [::]:4000 to have both"),
            "{said}"
        );
        let said = wrong("[::1]:4000", Some(four), &[six]).unwrap();
        assert!(said.starts_with("--advertise 192.0.2.7:4000 is an IPv4 address"), "{said}");
    }
}
