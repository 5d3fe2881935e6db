//! What every test holds in its hands: an edge, an origin, and clients.

pub(crate) mod cluster;
pub(crate) mod directory;
pub(crate) mod driven;
pub(crate) mod edge;
pub(crate) mod h2;
pub(crate) mod node;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod settings;
pub(crate) mod wire;

use std::time::Duration;

pub(crate) use directory::Directory;
pub(crate) use edge::Edge;
pub(crate) use origin::{Asked, Origin, ok};
pub(crate) use settings::SettingsFile;
pub(crate) use wire::{Head, Response, Wire};

/// How long a test waits for what must come. It bounds failures; nothing is timed by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
