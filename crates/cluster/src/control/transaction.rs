//! Compare, then change, or nothing.

use std::collections::BTreeMap;

use super::{Fault, Key, LeaseId, Revision, Value};

/// Conditions of a transaction, and changes of one: what an etcd takes by its `--max-txn-ops`.
pub const OPERATIONS_MAX: usize = 128;
/// Bytes of all keys and values of a transaction: the largest value, and keys besides. An etcd
/// takes 1.5 MiB with what it adds to each.
pub const TRANSACTION_BYTES_MAX: usize = super::VALUE_MAX + (256 << 10);

/// What must hold of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing lies there.
    Absent,
    /// Something lies there.
    Exists,
    /// What lies there was put by this commit.
    At(Revision),
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// This value lies there from now on.
    Put {
        /// The value.
        value: Value,
        /// With which lease it goes; a lease that an earlier value hung on lets go of the key.
        lease: Option<LeaseId>,
    },
    /// Nothing lies there from now on.
    Delete,
}

/// Conditions, and the changes to make if all of them hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    conditions: BTreeMap<Key, Condition>,
    changes: BTreeMap<Key, Change>,
}

impl Transaction {
    /// Makes `changes` if all `conditions` hold. One of each for a key at most, in any order.
    ///
    /// # Errors
    /// [`Fault::TooManyOperations`], [`Fault::KeyTwice`], [`Fault::TransactionTooLong`].
    pub fn new(
        conditions: impl IntoIterator<Item = (Key, Condition)>,
        changes: impl IntoIterator<Item = (Key, Change)>,
    ) -> Result<Self, Fault> {
        let transaction = Self { conditions: once(conditions)?, changes: once(changes)? };
        let length = transaction.length();
        if length > TRANSACTION_BYTES_MAX {
            return Err(Fault::TransactionTooLong { length });
        }
        Ok(transaction)
    }

    /// In the order of the keys.
    pub fn conditions(&self) -> impl ExactSizeIterator<Item = (&Key, Condition)> {
        self.conditions.iter().map(|(key, condition)| (key, *condition))
    }

    /// In the order of the keys.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = (&Key, &Change)> {
        self.changes.iter()
    }

    fn length(&self) -> usize {
        let keys = self.conditions.keys().chain(self.changes.keys()).map(|key| key.as_str().len());
        let values = self.changes.values().map(Change::length);
        keys.chain(values).sum()
    }
}

impl Change {
    /// Bytes of the value.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.bytes().len(),
            Self::Delete => 0,
        }
    }
}

fn once<T>(operations: impl IntoIterator<Item = (Key, T)>) -> Result<BTreeMap<Key, T>, Fault> {
    let mut by_key = BTreeMap::new();
    for (key, operation) in operations {
        if by_key.insert(key, operation).is_some() {
            return Err(Fault::KeyTwice);
        }
    }
    let count = by_key.len();
    if count > OPERATIONS_MAX { Err(Fault::TooManyOperations { count }) } else { Ok(by_key) }
}

#[cfg(test)]
mod tests {
    use super::{super::VALUE_MAX, *};

    fn key(number: usize) -> Key {
        Key::new(&format!("k{number}")).unwrap()
    }

    fn put(length: usize) -> Change {
        Change::Put { value: Value::new(vec![0; length]).unwrap(), lease: None }
    }

    #[test]
    fn a_transaction_has_so_many_operations_at_most() {
        let many = |count| (0..count).map(|number| (key(number), Condition::Exists));
        assert!(Transaction::new(many(OPERATIONS_MAX), []).is_ok());
        let count = OPERATIONS_MAX + 1;
        let fault = Fault::TooManyOperations { count };
        assert_eq!(Transaction::new(many(count), []), Err(fault));
        let deletes = (0..count).map(|number| (key(number), Change::Delete));
        assert_eq!(Transaction::new([], deletes), Err(fault));
    }

    #[test]
    fn a_key_is_changed_once_at_most() {
        let twice = [(key(1), Change::Delete), (key(1), put(1))];
        assert_eq!(Transaction::new([], twice), Err(Fault::KeyTwice));
        assert!(Transaction::new([(key(1), Condition::Absent)], [(key(1), put(1))]).is_ok());
    }

    #[test]
    fn a_transaction_holds_the_largest_value_but_not_two() {
        assert!(Transaction::new([], [(key(1), put(VALUE_MAX))]).is_ok());
        let two = [(key(1), put(VALUE_MAX)), (key(2), put(VALUE_MAX))];
        let length = 2 * VALUE_MAX + 4;
        assert_eq!(Transaction::new([], two), Err(Fault::TransactionTooLong { length }));
    }
}
