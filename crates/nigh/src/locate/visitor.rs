//! A visitor: asks an overlay one thing, through nodes of it, and becomes no part of it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use clap::error::ErrorKind;
use nigh_base::{Address, Key, machine::Coded};
use nigh_net::{
    driver::{BindError, Driver, HandleOf, Settings},
    entropy,
};
use nigh_overlay::locate::{
    Command, Event, Failure, Ticket, VIA_MAX,
    chord::{self, Node},
};
use tokio::time::timeout;

use crate::{cli, node::list};

/// The only question's ticket.
pub(super) const TICKET: Ticket = Ticket(1);

type Visitor = Coded<Node>;

/// Asks `command`, and gives the event that answers it and the time that it took. `doing` says in
/// the error what could not be done.
pub(super) fn ask(
    verb: &str,
    visit: &cli::Visit,
    doing: &str,
    command: Command,
) -> anyhow::Result<(Event, Duration)> {
    if visit.via.len() > VIA_MAX {
        let message = format!("{} nodes are too many: {VIA_MAX} are tried", visit.via.len());
        cli::used_wrongly(verb, ErrorKind::TooManyValues, &message);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let (driver, handle) = bind()?;
        let asking = answer(handle, visit, command);
        // The driver ends because the handle is gone.
        let (_, answer) = tokio::join!(driver.run(), asking);
        anyhow::Ok(answer)
    })?;
    let cannot = |advice: &str| format!("cannot {doing} through {}; {advice}", list(&visit.via));
    match answer {
        Some((Event::Failed { why, .. }, _)) => Err(anyhow!(why).context(cannot(advice(why)))),
        Some(answer) => Ok(answer),
        None => {
            let limit = cli::in_units(visit.timeout);
            Err(anyhow!("no answer came within {limit}").context(cannot(ASK_ANOTHER)))
        }
    }
}

/// The event that answers `command`; none if there is none in time.
async fn answer(
    mut handle: HandleOf<Visitor>,
    visit: &cli::Visit,
    command: Command,
) -> Option<(Event, Duration)> {
    for command in [Command::Visit { via: visit.via.clone() }, command] {
        handle.commands.send(command).await.expect("the driver runs while it has a handle");
    }
    let begun = Instant::now();
    let event = timeout(visit.timeout, handle.events.recv()).await.ok()??;
    Some((event, begun.elapsed()))
}

/// On any port, for both families where there are both: nodes name each other by either.
fn bind() -> Result<(Driver<Visitor>, HandleOf<Visitor>), BindError> {
    let bind = |listen: SocketAddr| {
        let settings = Settings { listen, slots: None, seed: entropy::seed() };
        Driver::bind_with(settings, |bound| Coded::new(machine(bound.into())))
    };
    bind((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|_| bind((Ipv4Addr::UNSPECIFIED, 0).into()))
}

fn machine(address: Address) -> Node {
    // Nobody learns this key: it only has to be no other node's.
    let key = Key::of(&entropy::seed().to_be_bytes());
    Node::new(key, address, Arc::new(chord::Settings::default()))
}

fn advice(why: Failure) -> &'static str {
    match why {
        Failure::Outside | Failure::Unreachable | Failure::KeyTaken => ASK_ANOTHER,
        Failure::Busy | Failure::Full => "try again later",
        Failure::ValueTooLong => "shorten it",
    }
}

const ASK_ANOTHER: &str = "is a node there? `nigh node` starts one, and --via names another";
