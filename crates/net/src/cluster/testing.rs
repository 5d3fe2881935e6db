//! What the tests of this folder share: a folder that goes, a clock that is set, edges with
//! certificates.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nigh_base::Wall;

use super::{
    authority::Authority,
    credentials::{Credentials, NewKey},
    identity::JoinId,
    name::Name,
    tls::Clock,
};
use crate::{clock, entropy::OsSecrets};

/// A folder of a test's own, which goes with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(of: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("nigh-cluster-{of}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A clock that stands where it was set.
#[derive(Clone)]
pub(crate) struct SetClock(Arc<AtomicU64>);

impl SetClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(clock::now().millis())))
    }

    pub(crate) fn now(&self) -> Wall {
        Wall::from_millis(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock::new(move || clock.now())
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// An authority of a cluster called `eu`.
pub(crate) fn authority(now: Wall) -> Authority {
    Authority::create(name("eu"), now, &mut OsSecrets::new()).unwrap()
}

/// What an edge has that has joined now.
pub(crate) fn edge(authority: &Authority, edge: &str, now: Wall) -> Credentials {
    let (key, mut secrets) = (NewKey::make().unwrap(), OsSecrets::new());
    let (join, request) = (JoinId::draw(&mut secrets), key.request().unwrap());
    let leaf = authority.issue(&name(edge), &request, join, now, &mut secrets).unwrap();
    key.with(authority.cluster(), [leaf, authority.certificate().clone()]).unwrap()
}
