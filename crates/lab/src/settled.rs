//! Ways of machines in a settled overlay: what ways that are walked over tables, without machines, are held
//! against.

use std::time::Duration;

use nigh_base::{Key, Rng};
use nigh_overlay::locate::{
    Command, Contact, Event, Ticket,
    node::{self, Node, geometry::Geometry},
};
use nigh_sim::{Latency, Network, World};

use crate::rings::{NEVER, host};

const ONE_WAY: Duration = Duration::from_millis(50);
/// Over which the questions are asked, so that nobody has more under way than it takes, and how long the last
/// answers may still come.
const SPAN: Duration = Duration::from_secs(30);
const REST: Duration = Duration::from_secs(60);

/// Each question is passed on, and nothing changes the tables.
pub(crate) fn settings() -> node::Settings {
    let routing = node::Routing::Recursive;
    node::Settings { copies: 1, routing, upkeep_every: NEVER }
}

/// Who is found, and after how many hops, for each of the `ways`: who asks, and for which key. None where no answer
/// comes. `nodes` are those of the first hosts.
pub(crate) fn go<G: Geometry>(
    nodes: impl Iterator<Item = Node<G>>,
    ways: &[(Contact, Key)],
    rng: &mut Rng,
) -> Vec<Option<(Contact, u32)>> {
    let mut world = World::new(rng.next_u64(), Network::new(Latency::Constant(ONE_WAY)));
    nodes.for_each(|node| {
        world.add(node);
    });
    let start = world.now();
    for (number, &(by, key)) in (0u64..).zip(ways) {
        let at = start.after(rng.between(Duration::ZERO, SPAN));
        let locate = Command::Locate { ticket: Ticket(number), key, trace: false };
        world.command_at(at, host(by), locate);
    }
    world.run_until(start.after(SPAN + REST));
    let mut found = vec![None; ways.len()];
    for told in world.take_events() {
        if let Event::Located { ticket, holders, hops, .. } = told.event {
            let way = usize::try_from(ticket.0).expect("as it was given");
            found[way] = holders.first().map(|&owner| (owner, hops));
        }
    }
    found
}
