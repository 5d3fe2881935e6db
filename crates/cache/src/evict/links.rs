//! Intrusive lists over slots: eight bytes a slot, no allocation for an entry, no pointer.
//!
//! One table of links serves all the lists of a policy, for a slot is in at most one of them.
//!
//! ```text
//! newest -> ... -> oldest        newcomers enter on the left, victims leave on the right
//! ```

use super::Slot;

/// The end of a list.
const END: u32 = u32::MAX;
/// In a slot that no list holds.
const UNHELD: u32 = u32::MAX - 1;

/// The links of every slot, indexed by slot.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

/// The two ends of one list.
#[derive(Debug)]
pub(super) struct List {
    newest: u32,
    oldest: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { newest: END, oldest: END }
    }
}

impl List {
    /// The slot that has waited longest.
    pub(super) fn oldest(&self) -> Option<Slot> {
        some(self.oldest)
    }
}

impl Links {
    /// Whether a list holds `slot`.
    pub(super) fn holds(&self, slot: Slot) -> bool {
        self.0.get(slot.index()).is_some_and(|link| link.newer != UNHELD)
    }

    /// Puts `slot` at the newest end of `list`. The table grows to hold it.
    ///
    /// # Panics
    /// If a list holds `slot` already, or its number is one of the two that are marks here.
    pub(super) fn push(&mut self, list: &mut List, slot: Slot) {
        assert!(slot.0 < UNHELD, "a slot's number is below the marks");
        if self.0.len() <= slot.index() {
            self.0.resize(slot.index() + 1, Link { newer: UNHELD, older: UNHELD });
        }
        assert!(!self.holds(slot), "a slot enters one list, once");
        self.0[slot.index()] = Link { newer: END, older: list.newest };
        match some(list.newest) {
            Some(second) => self.0[second.index()].newer = slot.0,
            None => list.oldest = slot.0,
        }
        list.newest = slot.0;
    }

    /// Takes `slot` out of `list`, which must be the one that holds it.
    ///
    /// # Panics
    /// If no list holds `slot`.
    pub(super) fn unlink(&mut self, list: &mut List, slot: Slot) {
        assert!(self.holds(slot), "only a held slot leaves");
        let Link { newer, older } = self.0[slot.index()];
        match some(newer) {
            Some(newer) => self.0[newer.index()].older = older,
            None => list.newest = older,
        }
        match some(older) {
            Some(older) => self.0[older.index()].newer = newer,
            None => list.oldest = newer,
        }
        self.0[slot.index()] = Link { newer: UNHELD, older: UNHELD };
    }

    /// Moves `slot` to the newest end of the list that holds it.
    pub(super) fn refresh(&mut self, list: &mut List, slot: Slot) {
        if list.newest != slot.0 {
            self.unlink(list, slot);
            self.push(list, slot);
        }
    }

    /// Bytes of memory taken.
    pub(super) fn footprint(&self) -> usize {
        super::footprint_of(&self.0)
    }

    /// The neighbour of a held slot on the newer side.
    pub(super) fn newer(&self, slot: Slot) -> Option<Slot> {
        some(self.0[slot.index()].newer)
    }
}

fn some(index: u32) -> Option<Slot> {
    (index != END).then_some(Slot(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oldest_first(links: &Links, list: &List) -> Vec<u32> {
        std::iter::successors(list.oldest(), |&slot| links.newer(slot)).map(|slot| slot.0).collect()
    }

    #[test]
    fn a_list_gives_back_its_slots_in_the_order_they_came() {
        let (mut links, mut list) = (Links::default(), List::default());
        [3, 0, 7].into_iter().for_each(|n| links.push(&mut list, Slot(n)));
        assert_eq!(oldest_first(&links, &list), [3, 0, 7]);
    }

    #[test]
    fn a_slot_leaves_from_the_middle_and_from_both_ends() {
        for (leaver, rest) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
            let (mut links, mut list) = (Links::default(), List::default());
            [1, 2, 3].into_iter().for_each(|n| links.push(&mut list, Slot(n)));
            links.unlink(&mut list, Slot(leaver));
            assert_eq!(oldest_first(&links, &list), rest);
            assert!(!links.holds(Slot(leaver)));
        }
    }

    #[test]
    fn a_refreshed_slot_is_the_newest() {
        let (mut links, mut list) = (Links::default(), List::default());
        [1, 2, 3].into_iter().for_each(|n| links.push(&mut list, Slot(n)));
        links.refresh(&mut list, Slot(1));
        assert_eq!(oldest_first(&links, &list), [2, 3, 1]);
    }

    #[test]
    #[should_panic(expected = "only a held slot leaves")]
    fn a_slot_that_no_list_holds_cannot_leave() {
        Links::default().unlink(&mut List::default(), Slot(0));
    }
}
