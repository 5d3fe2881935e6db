//! Many machines on one virtual clock: a network, disks and faults between them, all from one seed.
//!
//! ```text
//! world: hosts, each with a machine -> shard: pops what is due, calls the machine, carries out
//!    |                                     |-> queue    (what is to happen, in order)
//!    |                                     |-> network  (when, and whether, a datagram arrives)
//!    |                                     |-> stream   (links: bytes in order)
//!    |                                     '-> disk     (slots; torn and lost writes)
//!    '-- plan: faults by the clock, and the smallest plan that still fails
//! ```
//! A world runs on one thread or on several, and its digest is the same: hosts meet only through
//! the network, and nothing arrives sooner than the network's least latency.
//!
//! ```
//! use std::time::Duration;
//! use nigh_base::{Digest, Machine, Time, machine::{Context, Input}};
//! use nigh_sim::{HostId, Latency, Network, World};
//!
//! /// Says back what it hears, twice at most.
//! #[derive(Hash)]
//! struct Echo(u8);
//! impl Machine for Echo {
//!     type Message = bytes::Bytes;
//!     type Command = HostId;
//!     type Event = Time;
//!     fn handle(&mut self, input: Input<bytes::Bytes, HostId>, cx: &mut Context<'_, Self>) {
//!         match input {
//!             Input::Command(other) => cx.send(other.address(), "hello".into()),
//!             Input::Message { from, message } if self.0 < 2 => {
//!                 self.0 += 1;
//!                 cx.send(from, message);
//!                 cx.tell(cx.now);
//!             }
//!             _ => {}
//!         }
//!     }
//!     fn wake_at(&self) -> Option<Time> { None }
//!     fn digest(&self, digest: &mut Digest) { std::hash::Hash::hash(self, digest); }
//! }
//!
//! let network = Network::new(Latency::Constant(Duration::from_millis(50)));
//! let mut world = World::new(7, network);
//! let [a, b] = [world.add(Echo(0)), world.add(Echo(0))];
//! world.command(a, b);
//! world.run_until(Time::from_secs(1));
//! let times: Vec<f64> = world.take_events().iter().map(|told| told.event.secs_f64()).collect();
//! assert_eq!(times, [0.05, 0.1, 0.15, 0.2]);
//! ```

pub mod churn;
pub mod disk;
mod host;
mod network;
pub mod plan;
mod queue;
mod shard;
mod stream;
mod world;

pub use host::HostId;
pub use network::{Bandwidth, Latency, Matrix, MatrixError, Network, Places};
pub use shard::{Counts, Told};
pub use world::World;
