//! What lies in the file: four tables, and how a step changes them.
//!
//! | table | from | to |
//! | --- | --- | --- |
//! | `numbers` | name | the format, the latest revision, the last forgotten one, the next lease |
//! | `entries` | key | revision, lease (0 for none), value |
//! | `leases` | lease | seconds |
//! | `history` | revision and key | lease and value; none where the key was deleted |

use nigh_cluster::control::{
    Change, Commit, Entry, Fault, Key, Lease, LeaseId, Revision, Ttl, Value,
    model::{LeaseStep, Misfit, Saved, Step},
};
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction,
};
use std::time::Duration;

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const ENTRIES: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("entries");
const LEASES: TableDefinition<'_, u64, u64> = TableDefinition::new("leases");
const HISTORY: TableDefinition<'_, Changed, Was> = TableDefinition::new("history");

/// A revision, and a key that it changed.
type Changed = (u64, &'static str);

/// What it put there, with its lease; none if it was deleted.
type Was = Option<(u64, &'static [u8])>;

/// How these tables are laid out; another number is another layout.
const FORMAT: u64 = 1;

const FORMAT_NAME: &str = "format";
const REVISION_NAME: &str = "revision";
const FORGOTTEN_NAME: &str = "forgotten";
const NEXT_LEASE_NAME: &str = "next-lease";

/// Why a file does not give a state.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database says so.
    #[error(transparent)]
    Redb(#[from] redb::Error),
    /// It was written by another version.
    #[error("it has format {found}, and this version reads format {FORMAT}")]
    Format {
        /// Its number.
        found: u64,
    },
    /// A key, a value or a time is none.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Its parts do not fit together.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

/// Makes a step durable, or nothing of it.
pub(super) fn write(database: &Database, step: &Step) -> Result<(), redb::Error> {
    let transaction = begin(database)?;
    {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let mut history = transaction.open_table(HISTORY)?;
        if let Some(commit) = &step.commit {
            write_commit(&transaction, &mut history, commit)?;
            numbers.insert(REVISION_NAME, commit.revision.0)?;
        }
        if let Some(lease) = step.lease {
            let mut leases = transaction.open_table(LEASES)?;
            match lease {
                LeaseStep::Granted(lease) => {
                    leases.insert(lease.id.0, lease.ttl.secs())?;
                    numbers.insert(NEXT_LEASE_NAME, lease.id.0 + 1)?;
                }
                LeaseStep::Ended(lease) => drop(leases.remove(lease.0)?),
            }
        }
        history.retain_in(..(step.forgotten.0 + 1, ""), |_, _| false)?;
        numbers.insert(FORGOTTEN_NAME, step.forgotten.0)?;
    }
    transaction.commit()?;
    Ok(())
}

fn write_commit(
    transaction: &WriteTransaction,
    history: &mut Table<'_, Changed, Was>,
    commit: &Commit,
) -> Result<(), redb::Error> {
    let mut entries = transaction.open_table(ENTRIES)?;
    let revision = commit.revision.0;
    for (key, change) in &commit.changes {
        let key = key.as_str();
        match change {
            Change::Put { value, lease } => {
                let lease = lease.map_or(0, |lease| lease.0);
                entries.insert(key, (revision, lease, value.bytes()))?;
                history.insert((revision, key), Some((lease, value.bytes())))?;
            }
            Change::Delete => {
                entries.remove(key)?;
                history.insert((revision, key), None)?;
            }
        }
    }
    Ok(())
}

/// All that is in the file.
pub(super) fn read(database: &Database) -> Result<Saved, ReadError> {
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let numbers = transaction.open_table(NUMBERS).map_err(redb::Error::from)?;
    let number = |name| match numbers.get(name) {
        Ok(found) => Ok(found.map_or(0, |number| number.value())),
        Err(error) => Err(redb::Error::from(error)),
    };
    let found = number(FORMAT_NAME)?;
    if found != FORMAT {
        return Err(ReadError::Format { found });
    }
    let mut saved = Saved {
        revision: Revision(number(REVISION_NAME)?),
        forgotten: Revision(number(FORGOTTEN_NAME)?),
        next_lease: number(NEXT_LEASE_NAME)?,
        ..Saved::default()
    };
    let entries = transaction.open_table(ENTRIES).map_err(redb::Error::from)?;
    for row in entries.iter().map_err(redb::Error::from)? {
        let (key, entry) = row.map_err(redb::Error::from)?;
        let (revision, lease, value) = entry.value();
        let (value, revision) = (Value::new(value)?, Revision(revision));
        saved
            .entries
            .push((Key::new(key.value())?, Entry { value, revision, lease: lease_of(lease) }));
    }
    let leases = transaction.open_table(LEASES).map_err(redb::Error::from)?;
    for row in leases.iter().map_err(redb::Error::from)? {
        let (id, secs) = row.map_err(redb::Error::from)?;
        let ttl = Ttl::new(Duration::from_secs(secs.value()))?;
        saved.leases.push(Lease { id: LeaseId(id.value()), ttl });
    }
    let history = transaction.open_table(HISTORY).map_err(redb::Error::from)?;
    for row in history.iter().map_err(redb::Error::from)? {
        let (place, change) = row.map_err(redb::Error::from)?;
        let (revision, key) = place.value();
        let change = match change.value() {
            Some((lease, value)) => {
                Change::Put { value: Value::new(value)?, lease: lease_of(lease) }
            }
            None => Change::Delete,
        };
        let (revision, key) = (Revision(revision), Key::new(key)?);
        match saved.history.last_mut().filter(|commit| commit.revision == revision) {
            Some(commit) => commit.changes.push((key, change)),
            None => saved.history.push(Commit { revision, changes: vec![(key, change)] }),
        }
    }
    Ok(saved)
}

/// Makes the tables in a new file.
pub(super) fn make(database: &Database) -> Result<(), redb::Error> {
    let transaction = begin(database)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(LEASES)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(NUMBERS)?.insert(FORMAT_NAME, FORMAT)?;
    transaction.commit()?;
    Ok(())
}

/// A transaction that is synced before it is committed, and synced again before it is answered: so
/// the latest commit is held against its checksum when the file is opened, never taken for one that
/// was not finished.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

const fn lease_of(number: u64) -> Option<LeaseId> {
    if number == 0 { None } else { Some(LeaseId(number)) }
}
