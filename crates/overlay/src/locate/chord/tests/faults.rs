//! Rings under drawn faults: crashes, restarts, pauses, cuts both ways and one way, bad weather. The
//! invariants of every node are checked after every input; when all is mended the ring is whole.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nigh_sim::plan::{self, Mix, Step};

use super::*;

/// Seeds of a test run.
const SEEDS: u64 = 150;

fn mix() -> Mix {
    Mix {
        from: Time::from_secs(60),
        until: Time::from_secs(240),
        every: Duration::from_secs(6),
        down_max: 4,
        loss_max: 0.2,
        parting: true,
    }
}

/// A ring of 8 to 20 nodes that has lived through `steps`, and whether it is whole again.
fn live(seed: u64, steps: &[Step]) {
    let mut rng = Rng::new(seed);
    let count = 8 + u32::try_from(rng.below(13)).unwrap();
    let settings = settings(|it| {
        it.stabilise_every = Duration::from_secs(2);
        it.routing = ROUTINGS[rng.index(3)];
        it.successors = 4 + rng.index(5);
        it.proximity = 1 + rng.index(3);
    });
    let mut world = World::new(seed, network());
    world.check_always();
    for number in 0..count {
        let host = world.add(node(number, &settings));
        let via = if number == 0 { vec![] } else { vec![HostId(0).address()] };
        world.command(host, Command::Join { via });
        run(&mut world, Duration::from_secs(1));
    }
    for step in steps {
        world.run_until(step.at);
        let restarts = matches!(step.fault, plan::Fault::Restart(_));
        plan::apply(&mut world, &step.fault, &mut |host| node(host.0, &settings));
        if let (true, plan::Fault::Restart(host)) = (restarts, &step.fault) {
            rejoin(&mut world, *host, &mut rng);
        }
        if rng.one_in(3) {
            let by = HostId(u32::try_from(rng.below(count.into())).unwrap());
            let key = Key::of(&rng.next_u64().to_be_bytes());
            world.command(by, Command::Locate { ticket: Ticket(1), key, trace: rng.one_in(2) });
        }
    }
    // A plan mends what it broke; a part of one may not.
    for fault in [plan::Fault::Heal, plan::Fault::Weather(0.0)] {
        plan::apply(&mut world, &fault, &mut |_| unreachable!("nobody comes up"));
    }
    for host in world.hosts() {
        world.resume(host);
        if !world.is_up(host) {
            world.restart(host, node(host.0, &settings));
        }
    }
    // Who gave up joining while the network was cut asks again, as an operator's unit file does.
    for _ in 0..10 {
        run(&mut world, Duration::from_secs(30));
        let outside = world.hosts().filter(|&host| !world.machine(host).unwrap().is_member());
        for host in outside.collect::<Vec<_>>() {
            rejoin(&mut world, host, &mut rng);
        }
    }
    run(&mut world, Duration::from_secs(120));
    assert_eq!(members(&world).len(), count as usize, "all are members");
    assert_whole(&world);
    let (wrong, _) = look_up_everywhere(&mut world, seed);
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Joins through a member that is drawn; the first to come to an empty world begins a ring.
fn rejoin(world: &mut World<Node>, host: HostId, rng: &mut Rng) {
    let all = members(world);
    let via = if all.is_empty() { vec![] } else { vec![all[rng.index(all.len())].address] };
    world.command(host, Command::Join { via });
}

fn steps(seed: u64) -> Vec<Step> {
    let hosts: Vec<HostId> = (0..8).map(HostId).collect();
    plan::draw(mix(), &hosts, &mut Rng::new(seed).fork(1))
}

#[test]
fn a_ring_is_whole_again_after_whatever_befell_it() {
    for seed in 0..SEEDS {
        check(seed);
    }
}

/// Lives through the plan of a seed; shrinks it if that fails.
fn check(seed: u64) {
    let steps = steps(seed);
    let fails = |some: &[Step]| catch_unwind(AssertUnwindSafe(|| live(seed, some))).is_err();
    if fails(&steps) {
        let kept = plan::shrink(&steps, fails);
        let some: Vec<Step> = kept.iter().map(|&place| steps[place].clone()).collect();
        let text: Vec<String> = some.iter().map(ToString::to_string).collect();
        eprintln!("seed {seed}, steps {kept:?}:\n{}", text.join("\n"));
        live(seed, &some);
        panic!("seed {seed} fails with all steps, and not with these");
    }
}
