//! What a node has begun and waits for, by secret number: its lookups, its questions.

use smallvec::SmallVec;

/// Things that are under way, each in a box. Mostly there is one or none, which lies in the node
/// itself; what a burst needed is given back. Finding one takes time in proportion to their number.
#[derive(Debug, Hash)]
pub(crate) struct Pending<T>(SmallVec<[(u64, Box<T>); 1]>);

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<T> Pending<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, it)| &**it)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.0.iter().find(|(other, _)| *other == number).map(|(_, it)| &**it)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        self.0.iter_mut().find(|(other, _)| *other == number).map(|(_, it)| &mut **it)
    }

    /// `number` is new.
    pub(crate) fn push(&mut self, number: u64, it: Box<T>) {
        self.0.push((number, it));
    }

    pub(crate) fn take(&mut self, number: u64) -> Option<Box<T>> {
        let place = self.0.iter().position(|(other, _)| *other == number)?;
        let (_, it) = self.0.swap_remove(place);
        if self.0.spilled() && self.0.len() <= self.0.inline_size() {
            self.0.shrink_to_fit();
        }
        Some(it)
    }
}
