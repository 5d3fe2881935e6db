//! What may be kept, for how long, what leaves first, and where it lies in memory.
//!
//! The rules are pure functions of fields and times: [`storable`], [`freshness`], [`vary`],
//! [`conditional`], [`range`], [`update`], [`invalidate`], over [`fields`], [`list`], [`date`] and
//! [`directives`]. The [`store`] holds [`object`]s within its ceiling and lets [`evict`] choose who
//! leaves; a [`flight`] brings one in and lets many read it meanwhile; a [`disk`] keeps what is asked
//! for again.
//!
//! ```
//! use http::{HeaderMap, HeaderValue, StatusCode};
//! use nigh_base::Wall;
//! use nigh_cache::{directives::{RequestDirectives, ResponseDirectives}, freshness::{Reuse, Terms}};
//!
//! let mut fields = HeaderMap::new();
//! fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
//! let directives = ResponseDirectives::parse(&fields);
//! let received = Wall::from_secs(1_000);
//! let terms = Terms::new(received, received, StatusCode::OK, &fields, &directives);
//! let asked = RequestDirectives::default();
//! assert_eq!(terms.reuse(&asked, Wall::from_secs(1_059)), Reuse::Fresh);
//! assert!(matches!(terms.reuse(&asked, Wall::from_secs(1_060)), Reuse::Validate(_)));
//! ```

mod account;
mod common;
pub mod conditional;
pub mod date;
pub mod directives;
pub mod disk;
pub mod evict;
pub mod fields;
pub mod flight;
pub mod freshness;
#[doc(hidden)]
pub mod fuzz;
mod head;
pub mod invalidate;
pub mod key;
pub mod list;
pub mod normal;
pub mod object;
pub mod pilot;
pub mod purge;
pub mod range;
pub mod run;
pub mod slices;
pub mod storable;
pub mod store;
#[cfg(test)]
mod testing;
pub mod update;
pub mod vary;

pub use head::PackedFields;
