//! What the tests of several rooms need: heads of responses.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use nigh_base::Wall;

use crate::{
    directives::ResponseDirectives,
    flight::Head,
    freshness::Terms,
    vary::{self, Vary},
};

/// When [`head`] arrived.
pub(crate) const ARRIVED: Wall = Wall::from_secs(1_000);

pub(crate) fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    map
}

/// The head of a response with these fields to a request with those that were `asked`, to be stored.
pub(crate) fn head(asked: &HeaderMap, lines: &[(&'static str, &str)], length: Option<u64>) -> Head {
    let fields = fields(lines);
    let directives = ResponseDirectives::parse(&fields);
    let vary = Vary::parse(&fields);
    let mut selecting = Vec::new();
    vary::selecting(vary.names(), asked, &mut selecting);
    Head {
        status: StatusCode::OK,
        terms: Terms::new(ARRIVED, ARRIVED, StatusCode::OK, &fields, &directives),
        fields,
        for_first: HeaderMap::new(),
        length,
        announced: None,
        stored: Ok(()),
        vary: vary.names().into(),
        selecting: selecting.into(),
        from_store: false,
        passing: false,
    }
}
