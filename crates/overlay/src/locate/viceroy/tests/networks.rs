//! Networks that grow and break: links become right again.

use nigh_sim::HostId;

use super::*;
use crate::locate::{circle::Repair, node::Routing};

const REPAIRS: [Repair; 2] = [Repair::Periodic, Repair::Reactive];
/// No wrong answer.
const NONE: [String; 0] = [];

fn settled_world(count: u32, settings: &Arc<Settings>, seed: u64) -> World<Node> {
    let contacts = (0..count).map(|number| node(number, settings).contact()).collect();
    let all = Settled::new(Arc::clone(settings), contacts);
    let mut rng = Rng::new(seed);
    let levels = Levels::draw(&all, &mut rng);
    let mut world = World::new(seed, network());
    world.check_always();
    for number in 0..count {
        let every = settings.circle.node.upkeep_every;
        let first = Time::START.after(rng.between(Duration::ZERO, every));
        world.add(all.node(&levels, node(number, settings).contact(), first));
    }
    world
}

/// How many links there are that should be, how many of them lead where they should, and which lead to nobody
/// of the right level.
fn links(world: &World<Node>) -> (usize, usize, Vec<String>) {
    let all: Vec<(Contact, u8)> = members(world)
        .into_iter()
        .map(|it| (it, world.machine(host(it)).unwrap().level()))
        .collect();
    let (mut wanted, mut right, mut wrong) = (0, 0, Vec::new());
    for &me in &all {
        let node = world.machine(host(me.0)).unwrap();
        for kind in Kind::ALL {
            let Some(level) = node.geometry.far.level_of(kind) else { continue };
            let Some(best) = right_link(&all, me, kind) else { continue };
            wanted += 1;
            right += usize::from(node.link(kind) == Some(best));
            if let Some(link) = node.link(kind)
                && !all.contains(&(link, level))
            {
                wrong.push(format!("{kind:?} of {me:?}: {link:?}"));
            }
        }
    }
    (wanted, right, wrong)
}

#[test]
fn nodes_that_join_one_by_one_find_their_links() {
    let mut world = suite::joined(64, &Arc::new(Settings::default()), network(), 1);
    run(&mut world, Duration::from_secs(150));
    let (wanted, right, wrong) = links(&world);
    assert_eq!(wrong, NONE);
    assert!(right * 100 >= wanted * 97, "{right} of {wanted}");
    // A few more or less than six doublings, and each level has some.
    let levels = |it: HostId| world.machine(it).unwrap().level();
    let highest = world.hosts().map(levels).max().unwrap();
    assert!((5..=7).contains(&highest), "{highest} levels");
    let (wrong, hops) = look_up_everywhere(&mut world, 2, true);
    assert_eq!(wrong, NONE);
    assert!((1.0..8.0).contains(&hops), "{hops} hops");
}

#[test]
fn links_stay_right_while_nothing_happens() {
    let settings = Arc::new(Settings::default());
    let mut world = settled_world(200, &settings, 3);
    // Each fits its level to what it sees of the overlay; then few move.
    run(&mut world, Duration::from_secs(120));
    let levels = |world: &World<Node>| {
        world.hosts().map(|it| world.machine(it).unwrap().level()).collect::<Vec<u8>>()
    };
    let before = levels(&world);
    run(&mut world, Duration::from_secs(120));
    assert_eq!(levels(&world), before);
    let (wanted, right, wrong) = links(&world);
    assert_eq!(wrong, NONE);
    assert!(right * 100 >= wanted * 97, "{right} of {wanted}");
    assert_eq!(look_up_everywhere(&mut world, 1, false).0, NONE);
}

#[test]
fn when_a_third_die_at_once_ways_begin_anew_until_the_links_are_right() {
    for repair in REPAIRS {
        for routing in [Routing::Recursive, Routing::Iterative] {
            let mut settings = Settings::default();
            (settings.circle.repair, settings.circle.node.routing) = (repair, routing);
            let mut world = settled_world(96, &Arc::new(settings), 5);
            run(&mut world, Duration::from_secs(60));
            let mut hosts: Vec<HostId> = world.hosts().collect();
            Rng::new(11).shuffle(&mut hosts);
            hosts[..32].iter().for_each(|&host| world.crash(host));
            // At once, round the dead.
            let (wrong, _) = look_up_everywhere(&mut world, 6, false);
            assert!(wrong.len() <= 2, "{repair:?}, {routing:?}: {wrong:?}");
            run(&mut world, Duration::from_secs(150));
            let (wanted, right, wrong) = links(&world);
            assert_eq!(wrong, NONE, "{repair:?}, {routing:?}");
            assert!(right * 100 >= wanted * 95, "{repair:?}: {right} of {wanted}");
            assert_eq!(look_up_everywhere(&mut world, 7, false).0, NONE, "{repair:?}, {routing:?}");
        }
    }
}
