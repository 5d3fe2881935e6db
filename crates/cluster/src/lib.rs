//! Edges that act as one cache. [`hashing`]: who serves what, so that all agree without asking.
//! [`membership`]: who is there.
//! [`hot`]: what an edge keeps a copy of though another serves it. [`control`]: what all agree on.
//! [`forgetting`]: how a purge reaches all of them. [`sharing`]: how settings do. [`family`]: what edges are
//! called where several clusters agree.
//!
//! ```
//! use nigh_cluster::hashing::{Capacity, Edge, Edges, Loads, Placement, Ring, Spill, key_hash};
//! let edge = |name: &str| Edge { name: name.to_owned(), capacity: Capacity::ORDINARY };
//! let ring = Ring::new(Edges::new(vec![edge("a"), edge("b"), edge("c")]).unwrap());
//! let key = key_hash(b"http://example.com/logo.png");
//! let owner = ring.owner(key).unwrap();
//! // Nobody is busy: the owner serves. Once it has more than its share, the next in order does.
//! let mut loads = Loads::new(ring.edges());
//! assert_eq!(Spill::DEFAULT.choose(&ring, key, &loads), Some(owner));
//! loads.set(owner, 100);
//! assert_eq!(Spill::DEFAULT.choose(&ring, key, &loads), ring.order(key).nth(1));
//! ```

pub mod control;
pub mod family;
pub mod forgetting;
pub mod hashing;
pub mod hot;
pub mod membership;
pub mod sharing;
