//! Who may ask for a path, how, and with what: held against every request before anything is looked
//! up, so that what is stored is protected as what is fetched is.

use std::net::IpAddr;

use http::{HeaderName, Method};
use nigh_base::Wall;
use nigh_cache::fields::Fields;

use super::{
    Admission, Methods,
    signed::{self, Key},
};
use crate::{forward, problem::Problem};

/// What is asked of requests. The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whose networks are let in: the site's lists and the path's, and all must let a client in.
    pub admissions: Vec<Admission>,
    /// The methods, if not all.
    pub methods: Option<Methods>,
    /// Fields that a request must not have.
    pub refused_fields: Box<[HeaderName]>,
    /// The keys of signed URLs, if only those are let in. Without a key, none is.
    pub keys: Option<Box<[Key]>>,
    /// Nobody is let in: which rule the path is under depends on who reads it.
    pub unclear: bool,
}

/// A request, as far as a guard looks at it.
#[derive(Debug)]
pub struct Visit<'a, F> {
    /// Its method.
    pub method: &'a Method,
    /// Its path and query; `*` for the server as a whole.
    pub target: &'a str,
    /// Who answers for that.
    pub server: Server,
    /// Where it comes from.
    pub client: IpAddr,
    /// Its fields.
    pub fields: &'a F,
    /// When.
    pub now: Wall,
}

/// The server that a request means where it names no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// This edge: it is a site's.
    Here,
    /// The destination that the client of a forward proxy named.
    Beyond,
}

impl<F: Fields> Visit<'_, F> {
    /// Whether it goes no further than this edge, which then says what may be asked of it.
    pub(super) fn ends_here(&self, allowed: Methods) -> Option<Problem> {
        // RFC 9110, section 9.3.7: `*` is no path, so no rule for paths would hold where it goes.
        if self.target == "*" && self.server == Server::Here {
            return Some(Problem::ServerWide(allowed));
        }
        // RFC 9110, section 7.6.2.
        let is_last = forward::max_forwards(self.method, self.fields) == Some(0);
        is_last.then_some(Problem::LastHop(allowed))
    }
}

impl Guard {
    /// Whether it asks nothing.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Lets a request in. Allocates nothing, but for a path that is written in an odd way.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn admit<F: Fields>(&self, visit: &Visit<'_, F>) -> Result<(), Problem> {
        if self.unclear {
            return Err(Problem::UnclearPath);
        }
        if !self.admissions.iter().all(|lists| lists.admits(visit.client)) {
            return Err(Problem::NetworkRefused);
        }
        if let Some(methods) = self.methods
            && !methods.contains(visit.method)
        {
            return Err(Problem::MethodRefused(methods));
        }
        self.admit_fields(visit.fields)?;
        if let Some(keys) = &self.keys {
            signed::verify(visit.target, keys, visit.client, visit.now)
                .map_err(Problem::Signature)?;
        }
        Ok(())
    }

    /// Lets a request's fields in, or its trailers.
    ///
    /// # Errors
    /// If one is there that is not wanted.
    pub(super) fn admit_fields(&self, fields: &impl Fields) -> Result<(), Problem> {
        let is_refused = |name: &str| {
            self.refused_fields.iter().any(|held| forward::is_same_name(held.as_str(), name))
        };
        match !self.refused_fields.is_empty() && fields.names().any(is_refused) {
            true => Err(Problem::FieldRefused),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{site::signed::Refusal, testing::fields};

    fn asks(guard: &Guard, method: Method, client: &str, names: &[(&'static str, &str)]) -> String {
        let visit = Visit {
            method: &method,
            target: "/",
            server: Server::Here,
            client: client.parse().unwrap(),
            fields: &fields(names),
            now: Wall::from_secs(1),
        };
        guard.admit(&visit).err().map_or("", Problem::word).to_owned()
    }

    #[test]
    fn every_list_must_let_a_client_in() {
        let list = |text: &str| [text.parse().unwrap()].into();
        let guard = Guard {
            admissions: vec![
                Admission { allow: list("10.0.0.0/8"), ..Admission::default() },
                Admission { deny: list("10.1.0.0/16"), ..Admission::default() },
            ],
            ..Guard::default()
        };
        for (client, word) in
            [("10.2.0.1", ""), ("10.1.0.1", "network-refused"), ("192.0.2.1", "network-refused")]
        {
            assert_eq!(asks(&guard, Method::GET, client, &[]), word, "{client}");
        }
    }

    #[test]
    fn methods_and_fields_that_are_not_wanted_are_refused() {
        let guard = Guard {
            methods: Some(Methods::of("GET").unwrap().and(Methods::default())),
            refused_fields: ["x-original-url".parse().unwrap()].into(),
            ..Guard::default()
        };
        let client = "192.0.2.1";
        assert_eq!(asks(&guard, Method::HEAD, client, &[("accept", "x")]), "");
        assert_eq!(asks(&guard, Method::POST, client, &[]), "method-refused");
        for name in ["x-original-url", "x_original_url", "x-original_url"] {
            assert_eq!(asks(&guard, Method::GET, client, &[(name, "")]), "field-refused", "{name}");
        }
        assert!(Guard::default().is_open() && !guard.is_open());
    }

    #[test]
    fn where_only_signed_urls_are_let_in_and_there_is_no_key_nothing_is() {
        let guard = Guard { keys: Some([].into()), ..Guard::default() };
        let word = Problem::Signature(Refusal::Missing).word();
        assert_eq!(asks(&guard, Method::GET, "192.0.2.1", &[]), word);
    }
}
