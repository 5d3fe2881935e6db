//! Who belongs to the cluster, and where each is.

use std::collections::BTreeMap;

use nigh_base::Address;
use parking_lot::RwLock;

use super::PEERS;
use crate::cluster::name::Name;

/// Names and addresses of the edges that belong, as the control state has them.
#[derive(Debug, Default)]
pub struct Book(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    addresses: BTreeMap<Name, Address>,
    names: BTreeMap<Address, Name>,
}

/// There are more than [`PEERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cluster has at most {PEERS} edges")]
pub struct BookFull;

impl Book {
    /// From now on these belong, and no others. Of two with one address, that of the lesser name is
    /// sent what is meant for it.
    ///
    /// # Errors
    /// If there are too many; it is as it was then.
    pub fn set(&self, edges: impl IntoIterator<Item = (Name, Address)>) -> Result<(), BookFull> {
        let mut entries = Entries::default();
        entries.addresses.extend(edges.into_iter().take(PEERS + 1));
        if entries.addresses.len() > PEERS {
            return Err(BookFull);
        }
        let reversed = entries.addresses.iter().rev();
        entries.names.extend(reversed.map(|(name, address)| (*address, name.clone())));
        *self.0.write() = entries;
        Ok(())
    }

    /// Where an edge is.
    pub fn address(&self, name: &Name) -> Option<Address> {
        self.0.read().addresses.get(name).copied()
    }

    /// Who is there.
    pub fn name(&self, address: Address) -> Option<Name> {
        self.0.read().names.get(&address).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_is_exchanged_as_a_whole_and_is_bounded() {
        let book = Book::default();
        let [a, b]: [Name; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let [one, two] = [1, 2].map(|port| Address::v4([127, 0, 0, 1], port));
        book.set([(b.clone(), one), (a.clone(), one)]).unwrap();
        assert_eq!((book.address(&b), book.name(one)), (Some(one), Some(a.clone())));
        book.set([(b.clone(), two)]).unwrap();
        assert_eq!((book.address(&a), book.name(one)), (None, None));
        assert_eq!(book.name(two), Some(b.clone()));
        let many = (0..=PEERS).map(|number| (format!("e{number}").parse().unwrap(), one));
        assert_eq!(book.set(many), Err(BookFull));
        assert_eq!(book.name(two), Some(b));
    }
}
