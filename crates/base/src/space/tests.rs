//! The geometries against plain counting on small rings, and against their laws on whole keys.

use super::{clockwise::Circle, de_bruijn, prefix::Digits, torus::Point, xor};
use crate::{Key, Rng};

fn key(number: u64) -> Key {
    Key::from(number)
}

fn random(rng: &mut Rng) -> Key {
    Key::of(&rng.next_u64().to_le_bytes())
}

#[test]
fn arcs_of_a_circle_are_those_that_counting_finds() {
    let circle = Circle::new(4);
    for after in 0..16 {
        for end in 0..16 {
            let (mut at, mut open, mut closed) = (after, Vec::new(), Vec::new());
            loop {
                at = (at + 1) % 16;
                closed.push(at);
                if at == end {
                    break;
                }
                open.push(at);
            }
            for number in 0..16 {
                let (after, end) = (key(after), key(end));
                assert_eq!(circle.within(key(number), after, end), closed.contains(&number));
                assert_eq!(circle.between(key(number), after, end), open.contains(&number));
            }
        }
    }
}

#[test]
fn distances_around_the_circle_add_up_to_a_turn() {
    let mut rng = Rng::new(1);
    for bits in [1, 7, 64, 128, 129, 160] {
        let circle = Circle::new(bits);
        let (a, b) = (circle.wrap(random(&mut rng)), circle.wrap(random(&mut rng)));
        assert_eq!(circle.wrap(circle.distance(a, b).plus(circle.distance(b, a))), key(0));
        assert_eq!(circle.wrap(a.plus(circle.distance(a, b))), b);
        assert!(circle.has(a) && circle.has(circle.finger_start(a, bits - 1)));
    }
}

#[test]
fn xor_is_a_metric_and_its_buckets_double() {
    let mut rng = Rng::new(2);
    for _ in 0..500 {
        let [a, b, c] = [(); 3].map(|()| random(&mut rng));
        assert_eq!(xor::distance(a, b), xor::distance(b, a));
        assert_eq!(xor::distance(a, a), key(0));
        // The triangle, where the sum does not overflow.
        let (ab, bc) = (xor::distance(a, b).shifted_down(1), xor::distance(b, c).shifted_down(1));
        assert!(xor::distance(a, c).shifted_down(1) <= ab.plus(bc).plus(key(1)));
    }
    assert_eq!(xor::bucket(key(5), key(5)), None);
    assert_eq!(
        [4, 7, 1, 13].map(|b| xor::bucket(key(5), key(b))),
        [Some(0), Some(1), Some(2), Some(3)]
    );
}

#[test]
fn digits_are_those_of_the_printed_key() {
    let hexadecimal = Digits::new(4);
    let (a, b) = (Key::of(b"a"), Key::of(b"b"));
    for (place, digit) in a.to_string().chars().enumerate() {
        let place = u32::try_from(place).unwrap();
        assert_eq!(u32::from(hexadecimal.at(a, place)), digit.to_digit(16).unwrap());
    }
    let (digits_a, digits_b) = (a.to_string(), b.to_string());
    let same = digits_a.chars().zip(digits_b.chars()).take_while(|(a, b)| a == b);
    assert_eq!(hexadecimal.shared(a, b) as usize, same.count());
    assert_eq!(hexadecimal.shared(a, a), hexadecimal.count());
}

#[test]
fn a_torus_is_as_near_behind_as_before() {
    let (origin, near) = (Point([0, 0]), Point([u32::MAX, 1]));
    assert_eq!(origin.distance_squared(near), 2);
    assert_eq!(near.distance_squared(origin), 2);
    assert_eq!(Point::<2>::of(Key::power(159)), Point([1 << 31, 0]));
}

#[test]
fn as_many_de_bruijn_steps_as_bits_lead_anywhere() {
    let mut rng = Rng::new(3);
    for (bits, shift) in [(3, 1), (6, 1), (160, 1), (160, 3), (7, 4)] {
        let circle = Circle::new(bits);
        let [mut node, target] = [(); 2].map(|()| circle.wrap(random(&mut rng)));
        for step in 0..bits.div_ceil(shift) {
            node = de_bruijn::step(circle, node, target, shift, step);
        }
        assert_eq!(node, target, "{bits} bits by {shift}");
    }
    // Koorde's picture: 2n and 2n + 1.
    let circle = Circle::new(3);
    assert_eq!(de_bruijn::step(circle, key(5), key(0b100), 1, 0), key(0b011));
    assert_eq!(de_bruijn::step(circle, key(5), key(0b010), 1, 0), key(0b010));
}
