//! What an authority remembers, wherever its directory says that it is: in files beside the key, or in
//! control state that edges follow.

use std::io;

use anyhow::Context;
use nigh_base::Wall;
use nigh_net::cluster::{
    files::Directory,
    identity::Identity,
    name::Name,
    registry::{Entries, Files, Member, Refusal, Registry},
    token::{Kept, Token, TokenId},
};

use super::CONTROL;
use crate::control_state;

/// Tokens, members and revocations.
#[derive(Debug)]
pub(super) enum Remembered {
    Files(Files),
    Entries(Entries),
}

impl Remembered {
    /// Those of the authority of `cluster` in this directory. Whether an etcd can be reached shows when
    /// it is asked.
    pub(super) async fn open(directory: &Directory, cluster: &Name) -> anyhow::Result<Self> {
        let path = directory.path_of(CONTROL);
        let text = directory.read(CONTROL);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let Some(text) = text else {
            let files = Files::open(directory.path());
            let cannot = || format!("cannot write {}", directory.path().display());
            return Ok(Self::Files(files.with_context(cannot)?));
        };
        let place = super::etcd_in(&text, cluster.as_str(), directory.path())
            .with_context(|| path.display().to_string())?;
        let etcd = control_state::etcd(&place, cluster.as_str()).await;
        Ok(Self::Entries(Entries::new(etcd.with_context(|| path.display().to_string())?)))
    }

    /// Notes a token.
    pub(super) async fn add_token(&self, id: TokenId, kept: &Kept, now: Wall) -> io::Result<()> {
        match self {
            Self::Files(files) => files.add_token(id, kept, now),
            Self::Entries(entries) => entries.add_token(id, kept, now).await,
        }
    }

    /// Puts an edge out. Says whether it belonged.
    pub(super) async fn revoke(&self, name: &Name, now: Wall) -> io::Result<bool> {
        match self {
            Self::Files(files) => files.revoke(name, now),
            Self::Entries(entries) => entries.revoke(name, now).await,
        }
    }
}

impl Registry for Remembered {
    async fn admit(&self, token: &Token, member: Member, now: Wall) -> Result<(), Refusal> {
        match self {
            Self::Files(files) => files.admit(token, member, now).await,
            Self::Entries(entries) => entries.admit(token, member, now).await,
        }
    }

    async fn renew(&self, identity: &Identity, ends: Wall, now: Wall) -> Result<(), Refusal> {
        match self {
            Self::Files(files) => files.renew(identity, ends, now).await,
            Self::Entries(entries) => entries.renew(identity, ends, now).await,
        }
    }
}
