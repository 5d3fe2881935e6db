//! Settled clusters in simulated worlds: what experiments with membership have in common.

use std::time::Duration;

use nigh_base::{Rng, Time};
use nigh_cluster::membership::{Command, Contact, Name, Node, Settings};
use nigh_sim::{HostId, Latency, Network, World};

/// One way between edges in one place, and what it may take longer.
pub(crate) const LATENCY: Duration = Duration::from_millis(5);
pub(crate) const JITTER: Duration = Duration::from_millis(5);

/// The life of every node at the start.
const BORN: u64 = 1;

/// The name of the edge on a host.
pub(crate) fn name(host: HostId) -> Name {
    Name::new(&format!("edge-{}", host.0)).expect("letters, a hyphen and digits")
}

/// The host of an edge.
pub(crate) fn host(name: &Name) -> HostId {
    let number = name.as_str().strip_prefix("edge-").and_then(|it| it.parse().ok());
    HostId(number.expect("every edge of these worlds is named after its host"))
}

/// Edges in one place, of whose datagrams a share is lost.
pub(crate) fn network(loss: f64) -> Network {
    let mut network = Network::new(Latency::Constant(LATENCY));
    (network.jitter, network.loss) = (JITTER, loss);
    network
}

/// A world of so many nodes that all know each other, each of which begins when `begins` says.
pub(crate) fn settled(
    nodes: u32,
    settings: &Settings,
    network: Network,
    rng: &mut Rng,
    mut begins: impl FnMut(&mut Rng) -> Duration,
) -> World<Node> {
    let contact = |number| {
        let host = HostId(number);
        Contact { name: name(host), address: host.address() }
    };
    let all: Vec<Contact> = (0..nodes).map(contact).collect();
    let mut world = World::new(rng.next_u64(), network);
    for contact in &all {
        let host = world.add(Node::settled(contact.clone(), BORN, &all, settings.clone()));
        let at = Time::START.after(begins(rng));
        world.command_at(at, host, Command::Join { via: Vec::new() });
    }
    world
}

/// Some moment within a period: nodes know nothing of each other's clocks.
pub(crate) fn some_time(settings: &Settings) -> impl FnMut(&mut Rng) -> Duration + use<> {
    let period = settings.probe_every;
    move |rng| rng.between(Duration::ZERO, period)
}

/// Lets so much time pass.
pub(crate) fn run(world: &mut World<Node>, span: Duration) {
    let end = world.now().after(span);
    world.run_until(end);
}

/// `count` hosts, drawn.
pub(crate) fn some(world: &World<Node>, count: usize, rng: &mut Rng) -> Vec<HostId> {
    let mut hosts: Vec<HostId> = world.hosts().collect();
    rng.shuffle(&mut hosts);
    hosts.truncate(count);
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settled_cluster_stays_as_it_is() {
        let (settings, mut rng) = (Settings::default(), Rng::new(1));
        let begins = some_time(&settings);
        let mut world = settled(20, &settings, network(0.0), &mut rng, begins);
        world.check_always();
        run(&mut world, Duration::from_secs(30));
        for id in world.hosts() {
            assert_eq!(world.machine(id).unwrap().members().len(), 19);
            assert_eq!(host(&name(id)), id);
        }
        assert_eq!(some(&world, 3, &mut rng).len(), 3);
    }
}
