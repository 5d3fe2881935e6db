//! A judge of its own: the way of a lookup, walked over a sorted list of keys. No machine, no
//! message, no table; only what a finger is by definition.

use nigh_base::{Key, space::clockwise::Circle};
use nigh_overlay::locate::{Contact, chord::settled::Ring};

/// How often the question for `key` is passed on between `from` and the owner's predecessor, and
/// whether `from` is the owner itself.
///
/// At each node the question goes to the finger nearest before the key: finger i is the first node
/// at least 2^i behind.
pub(super) fn forwardings(ring: &Ring, from: Contact, key: Key) -> u32 {
    let circle = Circle::WHOLE;
    let owner = ring.successor(key);
    if owner == from {
        return 0;
    }
    let (mut here, mut count) = (from, 0);
    loop {
        let gap = circle.distance(here.key, key);
        let next = ring.successor(here.key.plus(Key::from(1)));
        if gap <= circle.distance(here.key, next.key) {
            return count;
        }
        let highest = Key::BITS - 1 - gap.leading_zeros();
        let finger = |exponent| ring.successor(circle.finger_start(here.key, exponent));
        let before = |it: &Contact| circle.distance(here.key, it.key) < gap && it.key != here.key;
        here = (0..=highest).rev().map(finger).find(before).expect("the next one is nearer");
        count += 1;
    }
}
