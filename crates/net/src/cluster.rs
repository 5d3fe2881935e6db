//! Whom edges of a cluster trust, and the datagrams that they exchange.
//!
//! ```text
//! authority --- token ---> operator ---> join --- request, secret ---> authority
//!     '------------------- certificate, for a day <--------------------------'
//! edge <== mutual TLS: tls (objects), datagrams (gossip) ==> edge
//! ```
//! A cluster has an [`authority`] of its own, and nobody else's word counts. A [`token`] lets one edge
//! in, once ([`join`]); what it gets is a certificate ([`identity`]) that is short-lived and renewed.
//! What the authority has to remember is a [`registry`]'s. docs/security.md says what each party can
//! do at worst.
//!
//! ```
//! use nigh_net::{clock, cluster::{authority::Authority, name::Name}, entropy::OsSecrets};
//!
//! let cluster: Name = "eu".parse()?;
//! let authority = Authority::create(cluster, clock::now(), &mut OsSecrets::new())?;
//! assert_eq!(authority.cluster().as_str(), "eu");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod authority;
pub mod credentials;
pub mod datagrams;
pub mod files;
pub mod identity;
pub mod join;
pub mod name;
pub mod registry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod token;
