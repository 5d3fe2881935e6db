//! What a question names: in its path, and in its query, whose names are known and whose values are
//! checked.

use std::ops::RangeInclusive;

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use super::problem::Problem;
use crate::ask::percent_decode;

/// The name in a path, decoded.
#[derive(Debug)]
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(name) = Path::from_request_parts(parts, state).await.map_err(|rejection| {
            let detail = format!("the path cannot be read: {}", rejection.body_text());
            Problem::new(rejection.status(), detail)
        })?;
        Ok(Self(name))
    }
}

/// A query's pairs, decoded.
#[derive(Debug)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads a query that may have these names.
    pub(super) fn parse(query: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode(name);
            match known.iter().find(|known| **known == name) {
                Some(known) => Ok((*known, percent_decode(value))),
                None => {
                    let listed = known.join(", ");
                    Err(Problem::bad_request(format!("`{name}` is none of: {listed}")))
                }
            }
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Every value of a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(held, _)| *held == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name that stands once at most.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(Problem::bad_request(format!("`{name}` stands once at most"))),
            None => Ok(first),
        }
    }

    /// Whether a switch is on: its name alone, or `true`.
    pub(super) fn is_on(&self, name: &str) -> Result<bool, Problem> {
        match self.one(name)? {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("`{name}` is true or false"))),
        }
    }

    /// A number in a range.
    pub(super) fn number(
        &self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (least, most) = range.into_inner();
        let wrong = || Problem::bad_request(format!("`{name}` is a number from {least} to {most}"));
        number.ok_or_else(wrong).map(Some)
    }
}
