//! Joining, failing, leaving, pausing, parting.

use nigh_base::{Machine, machine::Coded};

use super::*;

/// Two periods until somebody notices, the suspicion (4 periods, up to ten members; 5.6 with 25), and
/// the time in which the word goes round.
const DETECTED_SECS: u64 = 12;

#[test]
fn all_who_join_through_one_see_each_other() {
    let mut world = joined(25, network(), 1);
    run(&mut world, 10);
    assert!(agree(&world, &all(&world)));
    assert!(world.hosts().all(|host| world.machine(host).unwrap().is_member()));
    let joins = told(&mut world).into_iter().filter(|(_, event)| *event == Event::Joined).count();
    assert_eq!(joins, 25);
}

#[test]
fn nodes_that_nobody_answers_yet_go_on_trying() {
    let mut world = World::new(2, network());
    world.check_always();
    let late = HostId(1);
    for number in 0..2 {
        world.add(Node::new(contact(HostId(number)), BORN, Settings::default()));
    }
    world.command(HostId(0), Command::Join { via: vec![contact(late)] });
    run(&mut world, 100);
    assert!(seen(&world, HostId(0)).is_empty());
    world.command(late, Command::Join { via: vec![] });
    run(&mut world, 31);
    assert!(agree(&world, &[HostId(0), late]));
}

#[test]
fn a_crashed_member_is_down_everywhere_in_time_and_nobody_else_is() {
    let mut world = settled(25, network(), 3);
    run(&mut world, 5);
    world.crash(HostId(7));
    run(&mut world, DETECTED_SECS);
    assert!(agree(&world, &all(&world)));
    let events = told(&mut world);
    let downs: Vec<_> = events.iter().filter(|(_, it)| matches!(it, Event::Down(_))).collect();
    assert_eq!(downs.len(), 24);
    assert!(downs.iter().all(|(_, it)| *it == Event::Down(name(HostId(7)))));
    // Who was told of the suspicion was told so before.
    let suspected = events.iter().filter(|(_, it)| *it == Event::Suspect(name(HostId(7)))).count();
    assert!(suspected >= 20, "{suspected}");
}

#[test]
fn an_edge_that_starts_again_is_up_again_in_its_next_life() {
    let mut world = settled(10, network(), 4);
    run(&mut world, 5);
    let host = HostId(3);
    world.crash(host);
    run(&mut world, 1);
    // Nobody has declared it down yet.
    world.restart(host, Node::new(contact(host), BORN + 60_000, Settings::default()));
    world.command(host, Command::Join { via: vec![contact(HostId(0))] });
    run(&mut world, 5);
    assert!(agree(&world, &all(&world)));
    let member = world.machine(HostId(9)).unwrap().member(&name(host)).unwrap();
    assert_eq!((member.generation, member.state), (BORN + 60_000, State::Up));
}

#[test]
fn an_edge_whose_clock_went_back_outdoes_its_earlier_life() {
    let mut world = settled(10, network(), 5);
    run(&mut world, 5);
    let host = HostId(3);
    world.crash(host);
    run(&mut world, 20);
    world.restart(host, Node::new(contact(host), BORN / 2, Settings::default()));
    world.command(host, Command::Join { via: vec![contact(HostId(0))] });
    run(&mut world, 10);
    assert!(agree(&world, &all(&world)));
    assert!(world.machine(host).unwrap().generation() > BORN);
}

#[test]
fn a_member_that_pauses_is_suspected_and_refutes_it() {
    let mut world = settled(25, network(), 6);
    run(&mut world, 5);
    let paused = HostId(11);
    world.pause(paused);
    run(&mut world, 4);
    let is_suspect = |it: &HostId| state(&world, *it, paused) == State::Suspect;
    assert!(all(&world).iter().filter(|&&it| it != paused).any(is_suspect));
    world.resume(paused);
    run(&mut world, 5);
    assert!(agree(&world, &all(&world)));
    let member = world.machine(HostId(0)).unwrap().member(&name(paused)).unwrap();
    assert_eq!((member.state, member.generation), (State::Up, BORN));
    assert!(member.incarnation > 0);
    assert!(!told(&mut world).iter().any(|(_, it)| *it == Event::Down(name(paused))));
}

#[test]
fn a_member_that_pauses_for_too_long_comes_back_in_another_life() {
    let mut world = settled(25, network(), 7);
    run(&mut world, 5);
    let paused = HostId(11);
    world.pause(paused);
    run(&mut world, DETECTED_SECS);
    assert_eq!(state(&world, HostId(0), paused), State::Down);
    told(&mut world);
    world.resume(paused);
    run(&mut world, 15);
    assert!(agree(&world, &all(&world)));
    let generation = world.machine(paused).unwrap().generation();
    assert!(generation > BORN);
    assert!(told(&mut world).contains(&(paused, Event::Renewed { generation })));
}

#[test]
fn a_member_that_stops_in_the_middle_of_its_pings_suspects_nobody() {
    let mut world = settled(25, network(), 14);
    run(&mut world, 5);
    let stopped = HostId(11);
    let mut rng = Rng::new(14);
    for _ in 0..100 {
        // Some of these moments lie between a ping and its answer.
        world.pause(stopped);
        run(&mut world, 3);
        world.resume(stopped);
        let goes_on = rng.between(Duration::from_secs(1), Duration::from_secs(3));
        world.run_until(world.now().after(goes_on));
    }
    let suspected = told(&mut world).into_iter().filter_map(|(_, it)| match it {
        Event::Suspect(name) => Some(name),
        _ => None,
    });
    assert_eq!(suspected.collect::<BTreeSet<Name>>(), BTreeSet::from([name(stopped)]));
}

#[test]
fn who_leaves_is_told_to_have_left_and_never_to_be_down() {
    let mut network = network();
    network.loss = 0.05;
    let mut world = settled(25, network, 8);
    run(&mut world, 5);
    let leaver = HostId(2);
    world.command(leaver, Command::Leave);
    run(&mut world, DETECTED_SECS);
    let events = told(&mut world);
    assert!(events.contains(&(leaver, Event::Gone)));
    let lefts = events.iter().filter(|(_, it)| *it == Event::Left(name(leaver))).count();
    assert_eq!(lefts, 24);
    assert!(!events.iter().any(|(_, it)| *it == Event::Down(name(leaver))));
    // It is quiet now, and hears nothing.
    assert_eq!(world.machine(leaver).unwrap().wake_at(), None);
    world.command(leaver, Command::Join { via: vec![contact(HostId(0))] });
    run(&mut world, 5);
    assert_eq!(state(&world, HostId(0), leaver), State::Left);
}

#[test]
fn halves_that_were_parted_see_each_other_again() {
    let mut world = settled(20, network(), 9);
    run(&mut world, 5);
    let (one, other): (Vec<HostId>, Vec<HostId>) = world.hosts().partition(|it| it.0 % 2 == 0);
    world.network_mut().part(&one, &other);
    run(&mut world, 40);
    assert!(agree(&world, &one) && agree(&world, &other));
    world.network_mut().heal();
    run(&mut world, 60);
    assert!(agree(&world, &all(&world)));
}

#[test]
fn one_who_was_cut_off_from_all_finds_them_again() {
    let mut world = settled(10, network(), 10);
    run(&mut world, 5);
    let lone = HostId(4);
    let others: Vec<HostId> = world.hosts().filter(|&it| it != lone).collect();
    world.network_mut().part(&[lone], &others);
    run(&mut world, 60);
    assert!(seen(&world, lone).is_empty());
    assert!(told(&mut world).contains(&(lone, Event::Alone)));
    world.network_mut().heal();
    run(&mut world, 60);
    assert!(agree(&world, &all(&world)));
}

#[test]
fn a_tenth_of_all_datagrams_lost_leaves_nobody_down() {
    let mut network = network();
    (network.loss, network.duplication, network.reordering) = (0.1, 0.05, 0.1);
    let mut world = settled(40, network, 11);
    run(&mut world, 300);
    let events = told(&mut world);
    assert!(events.iter().any(|(_, it)| matches!(it, Event::Suspect(_))), "it was no test");
    // Whoever is suspected refutes it in time, in the same life.
    assert!(!events.iter().any(|(_, it)| matches!(it, Event::Down(_) | Event::Renewed { .. })));
    world.network_mut().loss = 0.0;
    run(&mut world, 30);
    assert!(agree(&world, &all(&world)));
    assert!(all(&world).iter().all(|&it| {
        world.machine(it).unwrap().members().iter().all(|member| member.state == State::Up)
    }));
}

#[test]
fn who_is_suspected_hears_it_from_whoever_suspects_it() {
    // Each passes a word on eight times, so one in 400 misses a given member: of some 1,000
    // suspicions, five would be deaths.
    let mut network = network();
    network.loss = 0.25;
    let mut world = settled(60, network, 14);
    run(&mut world, 120);
    let events = told(&mut world);
    assert!(events.iter().filter(|(_, it)| matches!(it, Event::Suspect(_))).count() > 10_000);
    assert!(!events.iter().any(|(_, it)| matches!(it, Event::Renewed { .. })));
}

#[test]
fn one_seed_is_one_run_in_types_or_bytes_on_one_thread_or_two() {
    fn scenario<T>(mut world: World<T>, make: impl Fn(Node) -> T) -> u64
    where
        T: Machine<Command = Command, Event = Event> + Send,
        T::Message: nigh_base::wire::Wire + Clone + Send,
    {
        for number in 0..20 {
            let node = Node::new(contact(HostId(number)), BORN, Settings::default());
            let host = world.add(make(node));
            world.command(host, Command::Join { via: vec![contact(HostId(0))] });
        }
        world.run_until(nigh_base::Time::from_secs(10));
        world.crash(HostId(5));
        world.command(HostId(6), Command::Leave);
        world.run_until(nigh_base::Time::from_secs(30));
        world.digest()
    }
    let mut network = network();
    network.loss = 0.1;
    let first = scenario(World::new(12, network.clone()), |node| node);
    assert_eq!(first, scenario(World::new(12, network.clone()), |node| node), "again");
    assert_eq!(first, scenario(World::on_threads(12, network.clone(), 2), |node| node), "threads");
    assert_eq!(first, scenario(World::new(12, network.clone()), Coded::new), "in bytes");
    assert_ne!(first, scenario(World::new(13, network), |node| node), "another seed");
}
