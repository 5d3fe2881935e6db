//! Bencoded values: BEP 3's examples, what is refused, and random ones.

use super::*;
use crate::Rng;

fn value(bytes: &[u8]) -> Value<'_> {
    Value::decode(bytes).unwrap()
}

#[test]
fn the_examples_of_bep_3_are_read() {
    assert_eq!(value(b"4:spam").bytes(), Some(&b"spam"[..]));
    assert_eq!(value(b"i3e").integer(), Some(3));
    assert_eq!(value(b"i-3e").integer(), Some(-3));
    let list: Vec<_> = value(b"l4:spam4:eggse").list().unwrap().map(Value::bytes).collect();
    assert_eq!(list, [Some(&b"spam"[..]), Some(b"eggs")]);
    let cow = value(b"d3:cow3:moo4:spam4:eggse").dictionary().unwrap();
    assert_eq!(cow.clone().get("cow").unwrap().bytes(), Some(&b"moo"[..]));
    assert_eq!(cow.clone().get("spam").unwrap().bytes(), Some(&b"eggs"[..]));
    assert_eq!(cow.get("milk"), None);
    let spam = value(b"d4:spaml1:a1:bee").dictionary().unwrap().get("spam").unwrap();
    assert_eq!(spam.raw(), b"l1:a1:be");
    assert_eq!(spam.list().unwrap().count(), 2);
}

#[test]
fn a_value_is_nothing_but_what_it_is() {
    let examples: [&[u8]; 4] = [b"2:ie", b"i7e", b"le", b"de"];
    for (place, bytes) in examples.into_iter().enumerate() {
        let value = value(bytes);
        let is = [
            value.bytes().is_some(),
            value.integer().is_some(),
            value.list().is_some(),
            value.dictionary().is_some(),
        ];
        assert_eq!(is, [0, 1, 2, 3].map(|other| other == place), "{place}");
    }
}

#[test]
fn what_is_no_value_is_refused_where_it_is_wrong() {
    let short = |at, wanted| WireError::Short { at, wanted };
    let cases: [(&[u8], WireError); 14] = [
        (b"", short(0, 1)),
        (b"4:abc", short(5, 1)),
        (b"99999999999999999999999:", short(24, usize::MAX)),
        (b"l", short(1, 1)),
        (b"d1:a", short(4, 1)),
        (b"e", WireError::Unknown { what: "bencoded value", tag: b'e' }),
        (b"x", WireError::Unknown { what: "bencoded value", tag: b'x' }),
        (b"-1:a", WireError::Unknown { what: "bencoded value", tag: b'-' }),
        (b"ie", WireError::Unknown { what: "digit", tag: b'e' }),
        (b"i-e", WireError::Unknown { what: "digit", tag: b'e' }),
        (b"i1-e", WireError::Unknown { what: "digit", tag: b'-' }),
        (b"di1e1:ae", WireError::Unknown { what: "key of a dictionary", tag: b'i' }),
        // A key without a value.
        (b"d1:ae", WireError::Unknown { what: "bencoded value", tag: b'e' }),
        (b"i1ei2e", WireError::Trailing { rest: 3 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(Value::decode(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

#[test]
fn depth_is_bounded_and_length_is_not() {
    let nested = |depth: usize, open: &str| {
        [open.repeat(depth).as_bytes(), b"i1e", "e".repeat(depth).as_bytes()].concat()
    };
    let limit = DEPTH_MAX as usize;
    for open in ["l", "d0:"] {
        assert!(Value::decode(&nested(limit, open)).is_ok());
        let error = WireError::TooLong { what: "depth", length: limit + 1, limit };
        assert_eq!(Value::decode(&nested(limit + 1, open)), Err(error));
        assert_eq!(Value::decode(&nested(100_000, open)), Err(error));
    }
    let long = [b"l".as_slice(), &b"0:".repeat(100_000), b"e"].concat();
    assert_eq!(value(&long).list().unwrap().count(), 100_000);
}

#[test]
fn integers_are_of_64_bits_or_only_text() {
    for number in [0, 1, -1, 9, 10, -10, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        write_integer(number, &mut out);
        assert_eq!(out, format!("i{number}e").as_bytes());
        assert_eq!(value(&out).integer(), Some(number));
    }
    for text in ["i9223372036854775808e", "i-9223372036854775809e", "i99999999999999999999999e"] {
        assert_eq!(value(text.as_bytes()).integer(), None, "{text}");
        assert!(value(text.as_bytes()).is_canonical(), "{text}");
    }
}

#[test]
fn one_form_of_many_is_canonical() {
    for text in ["i0e", "i-5e", "0:", "10:0123456789", "le", "de", "d0:0:1:ai0e2:aa0:1:b0:e"] {
        assert!(value(text.as_bytes()).is_canonical(), "{text}");
    }
    for text in ["i00e", "i-0e", "i05e", "i-05e", "00:", "01:a", "l02:abe", "d1:b0:1:a0:e"] {
        assert!(!value(text.as_bytes()).is_canonical(), "{text}");
    }
    for text in ["d1:a0:1:a0:e", "d01:a0:e", "d1:ali00eee", "d1:a0:0:0:e"] {
        assert!(!value(text.as_bytes()).is_canonical(), "{text}");
    }
}

#[test]
fn of_doubled_keys_the_first_counts() {
    let twice = value(b"d1:b1:x1:ai1e1:b1:ye").dictionary().unwrap();
    let [a, b, c] = twice.pick(["a", "b", "c"]);
    assert_eq!(a.unwrap().integer(), Some(1));
    assert_eq!(b.unwrap().bytes(), Some(&b"x"[..]));
    assert_eq!(c, None);
}

#[test]
fn what_is_written_is_canonical() {
    let mut out = Vec::new();
    write_dictionary(&mut out, |entries| {
        entries.bytes("a", b"nigh");
        write_list(entries.key("b"), |out| {
            write_integer(-7, out);
            write_dictionary(out, |_| ());
        });
        entries.integer("bb", 0);
    });
    assert_eq!(out, b"d1:a4:nigh1:bli-7edee2:bbi0ee");
    assert!(value(&out).is_canonical());
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "a lies before")]
fn keys_out_of_order_are_the_writers_mistake() {
    write_dictionary(&mut Vec::new(), |entries| {
        entries.integer("b", 1);
        entries.integer("a", 1);
    });
}

/// A random value, as a stranger would write it: mostly well-formed.
fn random(rng: &mut Rng, depth: u32, out: &mut Vec<u8>) {
    match rng.below(if depth == 0 { 4 } else { 6 }) {
        0 => write_integer(rng.next_u64().cast_signed() >> rng.below(64), out),
        1 => out.extend(
            format!("i{}{}e", "-".repeat(rng.index(2)), "0".repeat(1 + rng.index(2))).bytes(),
        ),
        2 => write_bytes(&rng.next_u64().to_le_bytes()[..rng.index(9)], out),
        3 => out.extend(b"0".iter().chain(b"1:a")),
        4 => write_list(out, |out| (0..rng.below(4)).for_each(|_| random(rng, depth - 1, out))),
        _ => {
            out.push(b'd');
            for _ in 0..rng.below(4) {
                write_bytes(&b"aab"[..rng.index(4)], out);
                random(rng, depth - 1, out);
            }
            out.push(b'e');
        }
    }
}

#[test]
fn any_bytes_are_refused_or_have_one_form() {
    let mut rng = Rng::new(1);
    let (mut canonical, mut other) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        random(&mut rng, 4, &mut bytes);
        match value(&bytes).is_canonical() {
            true => canonical += 1,
            false => other += 1,
        }
        fuzz::value(&bytes);
        for _ in 0..rng.below(4) {
            let at = rng.index(bytes.len());
            match rng.below(3) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, b"0123456789:ilde-"[rng.index(16)]),
            }
        }
        fuzz::value(&bytes);
    }
    assert!(canonical > 1000 && other > 1000, "{canonical} and {other}");
}
