//! Networks that grow and break: their pointers become right again.

use nigh_sim::HostId;

use super::*;
use crate::locate::{circle::Repair, node::Routing};

const REPAIRS: [Repair; 2] = [Repair::Periodic, Repair::Reactive];
/// No wrong answer.
const NONE: [String; 0] = [];

fn settled_world(count: u32, settings: &Arc<Settings>, seed: u64) -> World<Node> {
    let contacts = (0..count).map(|number| node(number, settings).contact()).collect();
    let all = Settled::new(Arc::clone(settings), contacts);
    let mut world = World::new(seed, network());
    world.check_always();
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let every = settings.circle.node.upkeep_every;
        let first = Time::START.after(rng.between(Duration::ZERO, every));
        world.add(all.node(node(number, settings).contact(), first));
    }
    world
}

/// Which members do not know exactly the nodes around k times their key.
fn wrong_pointers(world: &World<Node>, settings: &Arc<Settings>) -> Vec<String> {
    let all = Settled::new(Arc::clone(settings), members(world));
    let wrong = |me: &Contact| {
        let right = all.node(*me, Time::START).pointers();
        let found = world.machine(host(*me)).unwrap().pointers();
        let missing: Vec<_> = right.iter().filter(|it| !found.contains(it)).collect();
        let other: Vec<_> = found.iter().filter(|it| !right.contains(it)).collect();
        (found != right).then(|| format!("{me:?}: without {missing:?}, but {other:?}"))
    };
    all.contacts().iter().filter_map(wrong).collect()
}

#[test]
fn nodes_that_join_one_by_one_find_their_pointers() {
    for (degree_bits, backups) in [(1, 4), (4, 8)] {
        let settings = settings(|it| (it.degree_bits, it.backups) = (degree_bits, backups));
        let mut world = suite::joined(64, &settings, network(), 1);
        run(&mut world, Duration::from_secs(90));
        assert_eq!(wrong_pointers(&world, &settings), NONE);
        let (wrong, hops) = look_up_everywhere(&mut world, 2, true);
        assert_eq!(wrong, NONE);
        assert!((1.0..4.0).contains(&hops), "{hops} hops");
    }
}

#[test]
fn when_a_third_die_at_once_backups_serve_until_the_pointers_are_right() {
    for repair in REPAIRS {
        for routing in [Routing::Recursive, Routing::Iterative] {
            let settings =
                settings(|it| (it.circle.repair, it.circle.node.routing) = (repair, routing));
            let mut world = settled_world(96, &settings, 5);
            run(&mut world, Duration::from_secs(10));
            let mut hosts: Vec<HostId> = world.hosts().collect();
            Rng::new(11).shuffle(&mut hosts);
            hosts[..32].iter().for_each(|&host| world.crash(host));
            // At once, round the dead.
            let (wrong, _) = look_up_everywhere(&mut world, 6, false);
            assert!(wrong.len() <= 2, "{repair:?}, {routing:?}: {wrong:?}");
            run(&mut world, Duration::from_secs(90));
            assert_eq!(wrong_pointers(&world, &settings), NONE, "{repair:?}, {routing:?}");
            assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE, "{repair:?}, {routing:?}");
        }
    }
}
