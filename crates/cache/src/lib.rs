//! What may be kept, for how long, what leaves first, and where it lies in memory.

pub mod fields;
