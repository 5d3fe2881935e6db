//! What of a query counts: a request for the same path with another query is the same request, as far
//! as the parameters that differ do not count.

use smallvec::SmallVec;

use super::Name;

/// Parameters that are put in order without an allocation.
const SORTED_HERE: usize = 32;

/// What is made of the parameters that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// They stay as they came.
    #[default]
    Keep,
    /// They are sorted by name; those of one name keep their order.
    Sort,
    /// None counts.
    Strip,
}

/// How a query becomes part of the key, and goes to the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What is made of the parameters that count.
    pub order: Order,
    /// Parameters that do not count.
    pub strip: Box<[Name]>,
}

impl Query {
    /// Whether every query stays as it is.
    pub fn is_kept(&self) -> bool {
        self.order == Order::Keep && self.strip.is_empty()
    }

    /// Appends `query`, which stands behind the question mark, as far as it counts: with a question
    /// mark, or nothing. Allocates only for more parameters than any page has, and for `out`.
    pub fn write(&self, query: &str, out: &mut Vec<u8>) {
        let counting = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !self.strip.iter().any(|name| name.is(key(pair))));
        match self.order {
            Order::Strip => {}
            Order::Keep => append(counting, out),
            Order::Sort => {
                let mut pairs: SmallVec<[&str; SORTED_HERE]> = counting.collect();
                pairs.sort_by_key(|pair| key(pair));
                append(pairs.into_iter(), out);
            }
        }
    }
}

/// A parameter's name, as it stands there.
fn key(pair: &str) -> &[u8] {
    pair.split_once('=').map_or(pair, |(name, _)| name).as_bytes()
}

fn append<'a>(pairs: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
    let mut before = b'?';
    for pair in pairs {
        out.push(before);
        out.extend_from_slice(pair.as_bytes());
        before = b'&';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(order: Order, strip: &[&str], query: &str) -> String {
        let strip = strip.iter().map(|name| Name::new(name)).collect();
        let mut out = Vec::new();
        Query { order, strip }.write(query, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parameters_that_do_not_count_leave_no_trace() {
        assert_eq!(written(Order::Strip, &[], "a=1&b"), "");
        assert_eq!(written(Order::Keep, &["utm_*", "x"], "b=1&utm_a=2&x&a=3"), "?b=1&a=3");
        assert_eq!(written(Order::Keep, &["utm_*"], "utm_a=2"), "");
        assert_eq!(written(Order::Keep, &["x"], "xy=1&&X=2"), "?xy=1&X=2");
    }

    #[test]
    fn sorting_is_by_name_and_keeps_the_order_of_one_name() {
        assert_eq!(written(Order::Sort, &[], "b=2&a=9&b=1&a=1"), "?a=9&a=1&b=2&b=1");
        assert_eq!(written(Order::Sort, &["b"], "c&b=2&a"), "?a&c");
        let many: Vec<String> = (0..100).rev().map(|n| format!("p{n:03}")).collect();
        assert!(written(Order::Sort, &[], &many.join("&")).starts_with("?p000&p001&"));
    }
}
