//! The disk store: a log of checksummed segments, and an index of them in memory.
//!
//! Form, reasons and limits: docs/disk.md. Nothing here does I/O: a [`Log`] writes and reads through
//! [`Storage`], which `net` implements with files and tests with a simulated disk.
//!
//! ```text
//! record   an object, or a removal, as bytes
//! beneath  a body that stays on the disk, in pieces
//! segment  header, table and trailer; a segment without a table
//! index    where the variants of a key lie
//! log      writing, sealing, letting go, finding again after a start
//! queue    what the store wants written or removed
//! restore  from a record back to an object
//! promotion  a body that is read often comes into memory
//! ```

mod beneath;
#[doc(hidden)]
pub mod fuzz;
mod index;
mod log;
mod promotion;
mod queue;
mod record;
mod restore;
mod segment;
mod table;

use nigh_base::machine::DiskError;

pub use beneath::{Beneath, PIECE, WAITS_MAX};
pub use index::{Index, Place};
pub use log::{Log, Settings, Statistics};
pub use promotion::Promotion;
pub use queue::Queue;
pub use restore::Restored;
pub use segment::{file_name, number_of};

/// Where segments lie. All of it may fail at any time, and the log goes on.
pub trait Storage {
    /// The numbers and lengths of the segments that are there.
    ///
    /// # Errors
    /// As the disk has it.
    fn list(&mut self) -> Result<Vec<(u32, u64)>, DiskError>;

    /// Up to `length` bytes from `offset`; fewer where the segment ends before.
    ///
    /// # Errors
    /// As the disk has it.
    fn read_at(&mut self, segment: u32, offset: u64, length: usize) -> Result<Vec<u8>, DiskError>;

    /// Writes at `offset`; makes the segment if there is none.
    ///
    /// # Errors
    /// As the disk has it; some of the bytes may have been written.
    fn write_at(&mut self, segment: u32, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Makes a segment's bytes durable, though not its name.
    ///
    /// # Errors
    /// As the disk has it.
    fn sync(&mut self, segment: u32) -> Result<(), DiskError>;

    /// Makes durable which segments there are.
    ///
    /// # Errors
    /// As the disk has it.
    fn sync_directory(&mut self) -> Result<(), DiskError>;

    /// Removes a segment.
    ///
    /// # Errors
    /// As the disk has it.
    fn remove(&mut self, segment: u32) -> Result<(), DiskError>;
}

#[cfg(test)]
mod tests;
