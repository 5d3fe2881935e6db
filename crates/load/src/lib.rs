//! Load on edges: clients that ask many edges over HTTP/1.1, know what each URL has to give, and check
//! every byte of it; and the origin of all that.
//!
//! What an object holds follows from its URL and an edition ([`Object`]), so that clients and origin
//! need not tell each other anything. A [`Load`] asks with so many connections, as fast as they go or
//! at a steady rate, and keeps two kinds of failure apart:
//! - through an edge that lives: nothing excuses it, [`Tally::failed`] has to stay 0;
//! - on the way into an edge that was killed ([`Load::killed`]): the client's to try again at another
//!   edge, as clients do. [`Tally::cut`] counts these.
//!
//! Threads and blocking sockets, one thread a connection at work: a few dozen load a machine, and what
//! measures has to be simple.
//!
//! ```
//! use nigh_load::{Load, Object, Origin, Pace, Repeated};
//! let origin = Origin::start("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
//! let objects: Vec<_> = (0..10).map(|number| Object { number, bytes: 1_000 }).collect();
//! // No edge between them here: the origin is asked itself.
//! let pace = Pace { connections: 2, rate: None };
//! let load = Load::start(vec![origin.address()], Repeated::new(objects, Some(100)), pace, 1).unwrap();
//! let tally = load.finish();
//! assert_eq!((tally.requests, tally.failed, origin.requests()), (100, 0, 100));
//! ```

mod client;
mod content;
mod generator;
mod origin;
mod tally;
mod work;

pub use content::Object;
pub use generator::{Load, Pace};
pub use origin::{Origin, Terms};
pub use tally::Tally;
pub use work::{Ask, Popular, Repeated, Work};
