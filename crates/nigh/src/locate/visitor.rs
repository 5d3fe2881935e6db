//! A visitor: asks an overlay one thing, through nodes of it, and becomes no part of it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use clap::error::ErrorKind;
use nigh_base::{Key, machine::Coded};
use nigh_net::{
    driver::{BindError, Driver, HandleOf, Settings},
    entropy,
};
use nigh_overlay::locate::{
    Command, Contact, Event, Failure, Overlay, Ticket, VIA_MAX, can, chord, kademlia, koorde,
    node::{self, geometry::Geometry},
    pastry, tapestry, viceroy,
};
use tokio::time::timeout;

use crate::{cli, node::list};

/// The only question's ticket.
pub(super) const TICKET: Ticket = Ticket(1);

/// Asks `command`, and gives the event that answers it and the time that it took. `doing` says in
/// the error what could not be done.
pub(super) fn ask(
    verb: &str,
    overlay: cli::Overlay,
    visit: &cli::Visit,
    doing: &str,
    command: Command,
) -> anyhow::Result<(Event, Duration)> {
    let visiting = visiting(verb, visit);
    let answer = match overlay {
        cli::Overlay::Chord => {
            let make = |me: Contact| chord::Several::new(&[me.key], me.address, &Arc::default());
            answered(visit, make, [visiting, command], chord::Several::told)
        }
        cli::Overlay::Pastry => visit_node::<pastry::Geometry>(visit, [visiting, command]),
        cli::Overlay::Tapestry => visit_node::<tapestry::Geometry>(visit, [visiting, command]),
        cli::Overlay::Can => visit_node::<can::Geometry>(visit, [visiting, command]),
        cli::Overlay::Koorde => visit_node::<koorde::Geometry>(visit, [visiting, command]),
        cli::Overlay::Viceroy => visit_node::<viceroy::Geometry>(visit, [visiting, command]),
        cli::Overlay::Kademlia => {
            let commands = [visiting.into(), command.into()];
            answered(visit, dht_node, commands, kademlia::Node::told)
        }
    }?;
    match answer {
        Some((Event::Failed { why, .. }, _)) => Err(failed(overlay, visit, doing, Some(why))),
        Some(answer) => Ok(answer),
        None => Err(failed(overlay, visit, doing, None)),
    }
}

/// The same for what only BitTorrent's DHT does.
pub(super) fn ask_dht(
    verb: &str,
    visit: &cli::Visit,
    doing: &str,
    command: kademlia::Command,
) -> anyhow::Result<(kademlia::Event, Duration)> {
    let commands = [visiting(verb, visit).into(), command];
    let failed = |why| failed(cli::Overlay::Kademlia, visit, doing, why);
    match answered(visit, dht_node, commands, Some)? {
        Some((kademlia::Event::Locate(Event::Failed { why, .. }), _)) => Err(failed(Some(why))),
        Some(answer) => Ok(answer),
        None => Err(failed(None)),
    }
}

/// What makes a node a visitor. Ends with 2 if there are too many ways in.
fn visiting(verb: &str, visit: &cli::Visit) -> Command {
    if visit.via.len() > VIA_MAX {
        let message = format!("{} nodes are too many: {VIA_MAX} are tried", visit.via.len());
        cli::used_wrongly(verb, ErrorKind::TooManyValues, &message);
    }
    Command::Visit { via: visit.via.clone() }
}

/// What is told of a question that was not answered, or only with a failure.
fn failed(
    overlay: cli::Overlay,
    visit: &cli::Visit,
    doing: &str,
    why: Option<Failure>,
) -> anyhow::Error {
    let advice = match (why, overlay) {
        (Some(Failure::Busy | Failure::Full), _) => "try again later".to_owned(),
        (Some(Failure::ValueTooLong), _) => "shorten it".to_owned(),
        (_, overlay) => format!(
            "is a node there? `nigh node{}` starts one, --via names another, and --overlay says of which kind \
             they are",
            overlay.flag()
        ),
    };
    let limit = cli::in_units(visit.timeout);
    let cause = why.map_or_else(|| anyhow!("no answer came within {limit}"), |why| anyhow!(why));
    cause.context(format!("cannot {doing} through {}; {advice}", list(&visit.via)))
}

/// Asks through nodes of an overlay that is told no more of its nodes than that they are of it.
fn visit_node<G: Geometry<Settings: Default>>(
    visit: &cli::Visit,
    commands: [Command; 2],
) -> anyhow::Result<Option<(Event, Duration)>> {
    let make = |me: Contact| node::Node::<G>::new(me.key, me.address, Arc::default());
    answered(visit, make, commands, node::Node::<G>::told)
}

/// A node of a DHT that only asks, over both families of addresses.
fn dht_node(me: Contact) -> kademlia::Node {
    let settings = kademlia::Settings {
        v6: true,
        fits_address: false,
        paths: PATHS,
        parallel: 2 * PATHS,
        ..kademlia::Settings::default()
    };
    kademlia::Node::new(me.key, me.address, Arc::new(settings))
}

/// What `wanted` makes of the first event of which it makes anything, and how long that took, of a node
/// that was given these commands; none if there is none in time.
fn answered<T: Overlay, E>(
    visit: &cli::Visit,
    make: impl Fn(Contact) -> T,
    commands: [T::Command; 2],
    wanted: impl Fn(T::Event) -> Option<E>,
) -> anyhow::Result<Option<(E, Duration)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (driver, mut handle) = bind(make)?;
        let asking = async move {
            for command in commands {
                handle.commands.send(command).await.expect(DRIVEN);
            }
            let begun = Instant::now();
            let event = async {
                loop {
                    let event = handle.events.recv().await?;
                    if let Some(event) = wanted(event) {
                        return Some(event);
                    }
                }
            };
            let event = timeout(visit.timeout, event).await.ok()??;
            Some((event, begun.elapsed()))
        };
        // The driver ends because the handle is gone.
        let (_, answer) = tokio::join!(driver.run(), asking);
        Ok(answer)
    })
}

/// What runs a visitor, and how it is spoken to.
type Bound<T> = (Driver<Coded<T>>, HandleOf<Coded<T>>);

/// On any port, for both families where there are both: nodes name each other by either.
fn bind<T: Overlay>(make: impl Fn(Contact) -> T) -> Result<Bound<T>, BindError> {
    // Nobody learns this key: it only has to be no other node's.
    let key = Key::of(&entropy::seed().to_be_bytes());
    let bind = |listen: SocketAddr| {
        let settings = Settings { listen, slots: None, seed: entropy::seed() };
        Driver::bind_with(settings, |bound| {
            Coded::new(make(Contact { key, address: bound.into() }))
        })
    };
    bind((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|_| bind((Ipv4Addr::UNSPECIFIED, 0).into()))
}

/// Disjoint paths of a visitor's lookup: it asks once, and nodes on its way may lie.
const PATHS: usize = 4;
/// Why nothing that is said to the driver goes astray.
const DRIVEN: &str = "the driver runs while it has a handle";
