//! Each edge once, out of a sequence in which edges come again and again.

/// What is left of `numbers` without those that came before. It ends when all of `0..count` came, or
/// with `numbers`. The first eight are found without an allocation; who looks further pays for one of
/// a bit an edge.
#[derive(Debug)]
pub(super) struct Distinct<I> {
    numbers: I,
    /// How many have not come yet.
    left: usize,
    count: usize,
    /// Those that came, in order, as far as there is room.
    first: [u16; FIRST],
    /// Those that came, a bit each; empty until `first` is full.
    bits: Vec<u64>,
}

/// A request goes down the order as far as edges are full or do not answer, which is seldom far.
const FIRST: usize = 8;

impl<I> Distinct<I> {
    pub(super) const fn new(numbers: I, count: usize) -> Self {
        Self { numbers, left: count, count, first: [0; FIRST], bits: Vec::new() }
    }

    /// Whether the number is new; then it is remembered.
    fn takes(&mut self, number: u16) -> bool {
        let so_far = self.count - self.left;
        if so_far < FIRST {
            if self.first[..so_far].contains(&number) {
                return false;
            }
            self.first[so_far] = number;
            return true;
        }
        if self.bits.is_empty() {
            self.bits = vec![0; self.count.div_ceil(64)];
            self.first.into_iter().for_each(|number| {
                mark(&mut self.bits, number);
            });
        }
        mark(&mut self.bits, number)
    }
}

/// Sets the bit of a number; whether it was not set.
fn mark(bits: &mut [u64], number: u16) -> bool {
    let (word, bit) = (usize::from(number / 64), 1 << (number % 64));
    let was = bits[word] & bit != 0;
    bits[word] |= bit;
    !was
}

impl<I: Iterator<Item = u16>> Iterator for Distinct<I> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        loop {
            let number = self.numbers.next()?;
            if self.takes(number) {
                self.left -= 1;
                return Some(number.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_comes_once_in_the_order_of_its_first_coming() {
        let numbers = [3, 3, 1, 3, 0, 1, 2].into_iter();
        assert_eq!(Distinct::new(numbers, 4).collect::<Vec<_>>(), [3, 1, 0, 2]);
    }

    #[test]
    fn more_than_the_first_few_are_told_apart_too() {
        let twice = (0..200u16).chain(0..200).map(|number| number * 7 % 200);
        let found: Vec<_> = Distinct::new(twice, 200).collect();
        assert_eq!(found, (0..200).map(|number| number * 7 % 200).collect::<Vec<_>>());
    }

    #[test]
    fn it_looks_no_further_when_all_have_come() {
        let mut endless = Distinct::new([0, 1].into_iter().cycle(), 2);
        assert_eq!((endless.next(), endless.next(), endless.next()), (Some(0), Some(1), None));
    }
}
