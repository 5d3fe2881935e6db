//! What every core of nigh shares and no protocol owns: time as a number, seeded randomness, units.
//!
//! ```
//! use nigh_base::{ByteSize, Rng, Wall};
//! let ceiling: ByteSize = "2GiB".parse().unwrap();
//! assert_eq!(ceiling.bytes(), 2 << 30);
//! assert_eq!(Rng::new(7).next_u64(), Rng::new(7).next_u64());
//! assert_eq!(Wall::from_secs(10).since(Wall::from_secs(4)).as_secs(), 6);
//! ```

mod rng;
mod time;
mod units;

pub use rng::Rng;
pub use time::Wall;
pub use units::{ByteSize, ByteSizeError};
