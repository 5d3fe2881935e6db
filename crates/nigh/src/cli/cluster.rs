//! The verbs of a cluster: making one, letting edges in, and putting them out.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use nigh_net::cluster::{
    name::Name,
    token::{self, ADDRESSES_MAX, JoinAddress},
};

use super::{duration, in_units};
use crate::settings::etcd_text;

/// Make a cluster of edges that trust each other, and let edges in.
///
/// A cluster has a certificate authority of its own. An edge joins with a token that is good once, and
/// gets a certificate for a day, which is renewed while it is good. What each party can do at worst:
/// docs/security.md.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  on one machine:
    nigh cluster init --name eu --address 192.0.2.1:7300     makes the cluster, and a first token
    nigh cluster serve                                       answers who joins and who renews
  on each edge:
    nigh cluster join TOKEN --name eu-1
    nigh cluster renew                                       once a day at least
  and on the first again:
    nigh cluster token                                       one for each further edge
    nigh cluster revoke eu-1                                 puts an edge out")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    pub(crate) verb: ClusterVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    Init(Init),
    Token(Token),
    Serve(Serve),
    Join(Join),
    Renew(Renew),
    Revoke(Revoke),
}

/// Where things lie, and how they are told.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The directory, which only its owner may read; it is made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "nigh-cluster")]
    pub(crate) dir: PathBuf,
    /// Print JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Make the certificate authority of a new cluster, and a token with which a first edge joins.
///
/// Whoever has DIR/authority.key is the authority: keep a copy where nobody else looks.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The cluster's name: lower-case letters, digits and hyphens.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) name: Name,
    /// Where edges join, as they reach it; may be given several times.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7300")]
    pub(crate) address: Vec<JoinAddress>,
    /// Keep tokens, members and revocations in this etcd, where edges hear of them, and not beside the
    /// key. Edges name the same one in their settings.
    ///
    /// With etcds:// it is asked over TLS.
    #[arg(long, value_name = "etcd://HOST:PORT[,...]")]
    pub(crate) control: Option<String>,
    /// With etcds://, a file with the certificates of those who vouch for the etcd [default: those whom
    /// this machine trusts]
    #[arg(long, value_name = "FILE", requires = "control")]
    pub(crate) control_ca: Option<PathBuf>,
    /// With etcds://, a file with the certificate that is shown to the etcd.
    #[arg(long, value_name = "FILE", requires = "control_key")]
    pub(crate) control_cert: Option<PathBuf>,
    /// And one with its key.
    #[arg(long, value_name = "FILE", requires = "control_cert")]
    pub(crate) control_key: Option<PathBuf>,
    /// For how long the token is good, 7d at most.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = expiry)]
    pub(crate) expires: Duration,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Make a token with which one edge joins, once. Who has it can: hand it on as you would a password.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// For how long it is good, 7d at most.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = expiry)]
    pub(crate) expires: Duration,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Answer edges that join and renew, where the authority's key lies.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where it listens [default: the port of the first address that `init` was given]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Join a cluster: make a key, which never leaves this machine, and get a certificate for it.
///
/// DIR/edge.pem holds both; DIR/authority.pem is whom the edge believes.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The token, or - to read it from standard input, so that it shows in no list of processes.
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,
    /// This edge's name in the cluster [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<Name>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Exchange this edge's certificate for a fresh one, while it is good. An edge that runs does this by
/// itself.
#[derive(Debug, Args)]
pub(crate) struct Renew {
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Put an edge out, where the authority's key lies: none of its certificates is renewed or counts any
/// more. Its name is free then.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The edge's name.
    #[arg(value_name = "NAME")]
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Init {
    /// Why it cannot be done as it was said.
    pub(crate) fn mistake(&self) -> Option<String> {
        let too_many = self.address.len() > ADDRESSES_MAX;
        too_many.then(|| format!("a token names at most {ADDRESSES_MAX} addresses"))
    }

    /// The etcd that was named, if one was, as it is kept in the directory: files under their whole paths.
    ///
    /// # Errors
    /// If this process is nowhere, so that a path means nothing.
    pub(crate) fn control_text(&self) -> std::io::Result<Option<String>> {
        let Some(etcd) = &self.control else { return Ok(None) };
        let whole = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
        let [ca, cert, key] = [&self.control_ca, &self.control_cert, &self.control_key].map(whole);
        let (ca, cert, key) = (ca?, cert?, key?);
        Ok(Some(etcd_text(etcd, [ca.as_deref(), cert.as_deref(), key.as_deref()])))
    }
}

fn expiry(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must take some time: write 1h".to_owned()),
        time if time > token::LIFETIME_MAX => {
            Err(format!("a token is good for {} at most", in_units(token::LIFETIME_MAX)))
        }
        time => Ok(time),
    }
}
