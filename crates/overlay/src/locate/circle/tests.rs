//! What must hold of every overlay on a circle.

use std::time::Duration;

use nigh_base::machine::Input;
use nigh_sim::{HostId, World};

use super::{Circle, Shortcuts, message::Words};
use crate::locate::{
    Command, Event,
    alone::Alone,
    koorde,
    node::{Node, message::Body},
    pastry,
    suite::{self, Subject, network, run},
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
