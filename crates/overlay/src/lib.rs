//! Finding things without a centre. [`locate`]: who is responsible for a key, among machines that
//! come and go and know only a few of each other.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use nigh_base::{Key, Time};
//! use nigh_overlay::locate::{Command, Event, Ticket, chord::{Node, Settings}};
//! use nigh_sim::{HostId, Latency, Network, World};
//!
//! let mut world = World::new(1, Network::new(Latency::Constant(Duration::from_millis(20))));
//! let settings = Arc::new(Settings::default());
//! for number in 0..8u32 {
//!     let address = HostId(number).address();
//!     let host = world.add(Node::new(Key::of(&number.to_be_bytes()), address, settings.clone()));
//!     let via = if number == 0 { vec![] } else { vec![HostId(0).address()] };
//!     world.command(host, Command::Join { via });
//!     world.run_until(Time::from_secs(u64::from(number) * 60 + 60));
//! }
//! let locate = Command::Locate { ticket: Ticket(7), key: Key::of(b"song.mp3"), trace: false };
//! world.take_events();
//! world.command(HostId(3), locate);
//! world.run_until(world.now().after(Duration::from_secs(2)));
//! let told = world.take_events();
//! assert!(matches!(told[0].event, Event::Located { ticket: Ticket(7), .. }));
//! ```

pub mod locate;
