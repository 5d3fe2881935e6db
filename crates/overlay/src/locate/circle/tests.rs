//! What must hold of every overlay on a circle.

use std::{sync::Arc, time::Duration};

use nigh_base::{Key, Time, machine::Input};
use nigh_sim::{HostId, World};

use super::{Circle, Shortcuts, message::Words, settled::Settled};
use crate::locate::{
    Command, Event,
    alone::Alone,
    koorde,
    node::{self as common, Node, geometry::Geometry as _, message::Body},
    pastry,
    suite::{self, Subject, host, look_up_everywhere, members, network, run},
    viceroy,
};

fn knows_who_has_let_it_in<S: Shortcuts>()
where
    Circle<S>: Subject<Words = Words<S::Words>>,
{
    let settings = suite::settings::<Circle<S>>(|_| {});
    let [me, owner] = [0, 1].map(|number| suite::node::<Circle<S>>(number, &settings));
    let (mut alone, owner) = (Alone::new(me), owner.contact());
    let sent = alone.input(Input::Command(Command::Join { via: vec![owner.address] }));
    let [(_, Body::Next { nonce, .. })] = sent[..] else { panic!("{sent:?}") };
    let sent = alone.hears(owner, Body::Owner { nonce, contacts: vec![owner] });
    let [(_, Body::Own(Words::Leaves { nonce }))] = sent[..] else { panic!("{sent:?}") };
    alone.hears(owner, Body::Own(Words::LeavesAre { nonce, contacts: vec![] }));
    assert_eq!((&alone.told[..], alone.node.leaves()), (&[Event::Joined][..], vec![owner]));
    // It is asked whether it is there, so that it hears of the node; but once, and that may be lost.
    alone.waits(Duration::from_millis(500));
    assert_eq!(alone.node.leaves(), [owner]);
}

#[test]
fn a_node_knows_who_has_let_it_in_though_what_it_says_then_is_lost() {
    knows_who_has_let_it_in::<pastry::Table>();
    knows_who_has_let_it_in::<koorde::Pointers>();
    knows_who_has_let_it_in::<viceroy::Butterfly>();
}

fn makes_one_of_two<S: Shortcuts>()
where
    Circle<S>: Subject,
{
    let settings = suite::settings::<Circle<S>>(|it| it.upkeep_every = Duration::from_secs(1));
    let mut world = World::new(1, network());
    for via in [vec![], vec![], vec![HostId(1).address(), HostId(0).address()]] {
        let number = u32::try_from(world.hosts().count()).unwrap();
        let host = world.add(suite::node::<Circle<S>>(number, &settings));
        world.command(host, Command::Join { via });
        run(&mut world, Duration::from_secs(2));
    }
    let leaves = |world: &World<Node<Circle<S>>>| {
        [0, 1, 2].map(|host| world.machine(HostId(host)).unwrap().leaves().len())
    };
    assert_eq!(leaves(&world), [0, 1, 1]);
    run(&mut world, Duration::from_secs(60));
    assert_eq!(leaves(&world), [2, 2, 2]);
}

#[test]
fn who_was_given_ways_into_two_overlays_makes_them_one() {
    makes_one_of_two::<pastry::Table>();
    makes_one_of_two::<koorde::Pointers>();
    makes_one_of_two::<viceroy::Butterfly>();
}

fn of_koorde(leaves: usize) -> koorde::Settings {
    koorde::Settings { circle: of_circle(leaves), ..koorde::Settings::default() }
}

fn of_viceroy(leaves: usize) -> viceroy::Settings {
    viceroy::Settings { circle: of_circle(leaves) }
}

fn of_circle(leaves: usize) -> super::Settings {
    let node = common::Settings { copies: 1, ..common::Settings::default() };
    super::Settings { node, leaves, ..super::Settings::default() }
}

fn finds_owners_when_few_are_left<S: Shortcuts>(settings: fn(usize) -> S::Settings)
where
    Circle<S>: Subject<Settings = S::Settings>,
{
    for leaves in [2u8, 4] {
        let settings = Arc::new(settings(leaves.into()));
        let mut world = suite::joined::<Circle<S>>((leaves + 1).into(), &settings, network(), 1);
        run(&mut world, Duration::from_secs(60));
        // All who are on one side of another.
        for &gone in members(&world).iter().take(usize::from(leaves / 2)) {
            world.crash(host(gone));
        }
        run(&mut world, Circle::<S>::SETTLES);
        assert_eq!(look_up_everywhere(&mut world, 1, false).0, [""; 0], "{leaves} leaves");
    }
}

#[test]
fn when_all_on_one_side_are_gone_the_few_that_are_left_find_every_owner() {
    finds_owners_when_few_are_left::<koorde::Pointers>(of_koorde);
    finds_owners_when_few_are_left::<viceroy::Butterfly>(of_viceroy);
}

fn owns_nothing_behind_itself<S: Shortcuts>(settings: fn(usize) -> S::Settings)
where
    Circle<S>: Subject<Settings = S::Settings>,
{
    for leaves in [2, 4] {
        let settings = Arc::new(settings(leaves));
        let node = |number| suite::node::<Circle<S>>(number, &settings).contact();
        let all = Settled::<S>::new(Arc::clone(&settings), (0..100).map(node).collect());
        let at = |place: usize| all.contacts()[place % 100];
        for place in 0..100 {
            let node = all.with_leaves(at(place), Time::START);
            let above: Vec<Key> = (1..=leaves / 2).map(|step| at(place + step).key).collect();
            // What the first of them owns, and what lies behind the last.
            for key in [above[0], above[leaves / 2 - 1].plus(Key::from(1))] {
                let next = Circle::next_hop(&node, key, Default::default(), &above);
                assert!(next.is_some_and(|it| !above.contains(&it.contact.key)), "{place}");
            }
            // Its own key is its own.
            let own = Circle::next_hop(&node, node.contact().key, Default::default(), &above);
            assert_eq!(own, None);
        }
    }
}

#[test]
fn whoever_lies_before_a_key_does_not_own_it_though_nobody_behind_itself_is_left() {
    owns_nothing_behind_itself::<koorde::Pointers>(of_koorde);
    owns_nothing_behind_itself::<viceroy::Butterfly>(of_viceroy);
}
