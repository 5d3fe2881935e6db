//! What every core of nigh shares and no protocol owns: the machine contract, time as a number,
//! seeded randomness, keys and the spaces they lie in, bounded bytes, bencoding, deadlines, units, names that
//! were meant.
//!
//! ```
//! use nigh_base::{ByteSize, Key, Rng, Wall, space::clockwise::Circle};
//! let ceiling: ByteSize = "2GiB".parse().unwrap();
//! assert_eq!(ceiling.bytes(), 2 << 30);
//! assert_eq!(Rng::new(7).next_u64(), Rng::new(7).next_u64());
//! assert_eq!(Wall::from_secs(10).since(Wall::from_secs(4)).as_secs(), 6);
//! let circle = Circle::new(6);
//! assert!(circle.within(Key::from(37), Key::from(35), Key::from(44)));
//! ```

mod address;
pub mod bencode;
mod digest;
mod key;
pub mod machine;
mod nearest;
pub mod record;
mod rng;
mod rtt;
pub mod space;
mod time;
mod timers;
mod units;
pub mod wire;

pub use address::Address;
pub use digest::Digest;
pub use key::{Key, KeyError};
pub use machine::Machine;
pub use nearest::nearest;
pub use rng::Rng;
pub use rtt::Rtt;
pub use time::{Time, Wall};
pub use timers::Timers;
pub use units::{ByteSize, ByteSizeError};
