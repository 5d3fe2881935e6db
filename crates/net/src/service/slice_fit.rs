//! What may be sliced: which responses are the beginning of slices, and which belong to those that are
//! there. RFC 9110, sections 13.1.5, 14 and 15.3.7; RFC 9111, section 3.4.

use std::{rc::Rc, time::Duration};

use http::{HeaderMap, Method, StatusCode};
use nigh_cache::{
    conditional,
    fields::Fields,
    flight::{Failure, Head},
    freshness::Terms,
    list,
    object::Object,
    pilot::Pilot,
    range::{ContentRange, Ranges, Span},
    slices::Sliced,
    storable::{self, Cookies, WhyNot},
};
use nigh_edge::plan::Manner;

use super::{
    Ask, Service,
    fetch::{Task, arrive},
    outgoing::target,
    slice_source::Count,
    travel::Giver,
};
use crate::{body::RequestBody, clock, origin::Fetched};

/// How long a large response waits for the proof that its origin serves ranges of it.
const PROOF_WAIT: Duration = Duration::from_secs(2);

/// The byte that is asked for to prove it.
const PROOF: Span = Span { start: 0, end: 1 };

/// What a 206 is good for that answers a request for one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It holds the whole representation.
    Whole,
    /// It is that slice of a longer one, of so many bytes.
    Slice(u64),
    /// It is what the client asked for, as if it had been asked for that.
    Client,
    /// Nothing.
    Nothing,
}

impl Fit {
    /// Judges the fields of a 206 to a request for `asked`, with a body of `length` bytes where that was
    /// said; `client` has the client's own fields.
    pub(super) fn of(
        fields: &impl Fields,
        length: Option<u64>,
        asked: Span,
        client: &impl Fields,
    ) -> Self {
        let Some(ContentRange { span, complete }) = ContentRange::of(fields) else {
            return Self::Nothing;
        };
        let is_whole = |complete| {
            // What is stored as the whole has to have said so twice.
            span == Span { start: 0, end: complete } && length == Some(complete)
        };
        let is_asked = |length: u64| Span::new(asked.start, asked.end.min(length)) == Some(span);
        let wanted = Ranges::parse(client)
            .and_then(|ranges| ranges.specs().first()?.resolve(complete.unwrap_or(u64::MAX)));
        match complete {
            Some(complete) if is_whole(complete) => Self::Whole,
            Some(complete)
                if is_asked(complete)
                    && span.len() < complete
                    && i64::try_from(complete).is_ok()
                    && conditional::strong_validator(fields).is_some() =>
            {
                Self::Slice(complete)
            }
            // It was asked for without the client's If-Range.
            _ if wanted == Some(span) && conditional::range_applies(client, fields) => Self::Client,
            _ => Self::Nothing,
        }
    }
}

/// What came of asking an origin whether it serves ranges of a representation.
enum Proof {
    Holds,
    /// It does not, or under another validator.
    Fails,
    /// It said nothing, or not in time.
    Missing,
}

/// Whether a response brings a slice of the stored representation.
pub(super) enum Belongs {
    Yes,
    /// The representation is another one now, is not served in ranges, or is not for everyone.
    No,
    /// It says nothing of the representation, or not to this client.
    Unknown,
}

impl Service {
    /// The slice that a request for a range asks for first; `None` if nothing is sliced, the last
    /// response of its key is known not to be fit for it, or nobody knows where the range begins.
    pub(super) fn first_slice(&self, ask: &Ask) -> Option<Span> {
        let size = self.store.slicing()?.size.bytes();
        let asked = ask.asked();
        if asked.authorized || asked.directives.no_store {
            // Most likely the answer is this client's alone.
            return None;
        }
        let key = self.store.key(&ask.key);
        // That there was no room for the whole says nothing of slices.
        let why_not = self.store.refusal(key).filter(|why| *why != WhyNot::NoRoom);
        if why_not.is_some_and(WhyNot::is_lasting) || self.store.is_unfit_for_slices(key) {
            return None;
        }
        let first = Ranges::parse(&ask.fields)?.specs().first()?.first()?;
        let start = first - first % size;
        Span::new(start, start.checked_add(size)?)
    }

    /// Whether a whole response goes on as slices of how many bytes in all, and how many of them it
    /// fills. Asks the origin for a byte first: a tag that its ranges do not carry would break answers
    /// off in the middle.
    pub(super) async fn goes_on(&self, head: &Head, ask: &Rc<Ask>) -> (Option<u64>, Count) {
        const NO: (Option<u64>, Count) = (None, Count::None);
        let Some(slicing) = self.store.slicing() else { return NO };
        let is_whole = ask.method == Method::GET && head.status == StatusCode::OK;
        let long = head.length.filter(|&length| length > slicing.above.bytes());
        let Some(length) = long.filter(|&it| is_whole && i64::try_from(it).is_ok()) else {
            return NO;
        };
        let key = self.store.key(&ask.key);
        if head.stored.is_err()
            || !can_be_sliced(&head.fields)
            || self.store.is_unfit_for_slices(key)
        {
            return NO;
        }
        match self.prove(ask, conditional::strong_validator(&head.fields), length).await {
            Proof::Holds => {}
            Proof::Fails => {
                self.store.note_unfit_for_slices(key);
                return NO;
            }
            Proof::Missing => return NO,
        }
        // Who asked for a range of it wants its front only if the range begins there.
        let begins = Ranges::parse(&ask.fields).map_or(Some(0), |it| it.specs().first()?.first());
        let wants_front = begins.is_some_and(|first| first < slicing.size.bytes());
        let count = match wants_front {
            // In a cluster, later slices are other edges'.
            true if self.siblings().is_some() => Count::One,
            true => Count::Wanted,
            false => Count::None,
        };
        (Some(length), count)
    }

    /// Whether the origin gives a range of a representation of this validator and length.
    async fn prove(&self, ask: &Rc<Ask>, validator: Option<&[u8]>, length: u64) -> Proof {
        let asking = self.ask_for_slice(ask, PROOF, None);
        let Ok(Some(Ok((mut fetched, giver)))) = tokio::time::timeout(PROOF_WAIT, asking).await
        else {
            return Proof::Missing;
        };
        let status = fetched.head.status;
        let mut fields = fetched.head.headers.clone();
        arrive(ask.route.rule(), giver, &mut fields);
        let expected = ContentRange { span: PROOF, complete: Some(length) };
        match status {
            StatusCode::PARTIAL_CONTENT
                if ContentRange::of(&fields) == Some(expected)
                    && conditional::strong_validator(&fields) == validator =>
            {
                // Its end gives the connection back.
                while let Ok(Some(_)) = fetched.frame().await {}
                Proof::Holds
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Proof::Fails,
            // Nothing was said of the representation.
            _ => Proof::Missing,
        }
    }

    /// A slice came that is not of the master: that goes. If the representation is still the same, its
    /// ranges are not to be relied on, now or later.
    pub(super) async fn disown(&self, ask: &Rc<Ask>, master: &Object, sliced: &Sliced) {
        let key = self.store.key(master.key());
        self.store.outdate_slices(key, sliced);
        let stored = master.fields();
        let validator = conditional::strong_validator(&stored);
        if matches!(self.prove(ask, validator, sliced.length).await, Proof::Holds) {
            self.store.note_unfit_for_slices(key);
        }
    }

    /// Asks for some bytes: whoever owns the slice of this number, or the origin. `None` if the target
    /// cannot be asked for.
    pub(super) async fn ask_for_slice(
        &self,
        ask: &Rc<Ask>,
        span: Span,
        slice: Option<u64>,
    ) -> Option<Result<(Fetched, Giver), Failure>> {
        let task = Task {
            ask: Rc::clone(ask),
            target: target(&ask.sent())?,
            validate: None,
            manner: Manner::Slice,
            conditions: false,
            slice: Some(span),
        };
        let road = slice.map(|slice| self.road(ask, Manner::Slice, slice)).unwrap_or_default();
        Some(self.send(&task, RequestBody::Empty, road, None).await)
    }

    /// The master of slices for a response.
    pub(super) fn master(
        &self,
        pilot: &Pilot,
        head: &Head,
        complete: u64,
    ) -> Result<(Object, Sliced), WhyNot> {
        head.stored?;
        let slicing = self.store.slicing().ok_or(WhyNot::NoSlices)?;
        if !head.for_first.is_empty() {
            // The first asker's own fields are in no stored object.
            return Err(WhyNot::NoSlices);
        }
        let master = pilot.master(head, complete, slicing.size.bytes()).ok_or(WhyNot::NoRoom)?;
        let sliced = master.sliced().ok_or(WhyNot::NoSlices)?;
        Ok((master, sliced))
    }

    /// Whether a response to a request for `span` brings that of the stored representation.
    pub(super) fn belongs(
        ask: &Ask,
        master: &Object,
        span: Span,
        status: StatusCode,
        fields: &HeaderMap,
    ) -> Belongs {
        match status {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK
            | StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::RANGE_NOT_SATISFIABLE => return Belongs::No,
            _ => return Belongs::Unknown,
        }
        let asked = ContentRange { span, complete: master.length() };
        let stored = master.fields();
        let is_same = conditional::strong_validator(&stored)
            .is_some_and(|held| conditional::strong_validator(fields) == Some(held));
        let is_asked = ContentRange::of(fields) == Some(asked);
        let directives = ask.route.rule().directives(StatusCode::OK, fields);
        let now = clock::now();
        let terms = Terms::new(now, now, StatusCode::OK, fields, &directives);
        let (asked, cookies) = (ask.asked(), Cookies::default());
        let kept = storable::judge(&asked, StatusCode::OK, fields, &directives, &terms, cookies);
        match kept {
            Err(why) if !why.is_the_requests() => Belongs::No,
            _ if is_same && is_asked => Belongs::Yes,
            _ => Belongs::No,
        }
    }
}

/// Whether a whole response may go on as slices: it has what tells two representations apart, and
/// its origin says that it serves ranges.
fn can_be_sliced(fields: &HeaderMap) -> bool {
    let mut units = Fields::values(fields, "accept-ranges").flat_map(list::elements);
    conditional::strong_validator(fields).is_some()
        && units.any(|unit| list::same_token(unit, b"bytes"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let field =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        lines.iter().map(field).collect()
    }

    /// What a 206 to a request for the first hundred bytes is good for.
    fn fit(
        lines: &[(&'static str, &'static str)],
        length: u64,
        client: &[(&'static str, &'static str)],
    ) -> Fit {
        Fit::of(&map(lines), Some(length), Span { start: 0, end: 100 }, &map(client))
    }

    const RANGE: (&str, &str) = ("range", "bytes=10-19");
    const TAG: (&str, &str) = ("etag", "\"a\"");

    #[test]
    fn a_slice_has_a_strong_validator_and_the_bytes_that_were_asked_for() {
        let of_1000 = ("content-range", "bytes 0-99/1000");
        assert_eq!(fit(&[TAG, of_1000], 100, &[RANGE]), Fit::Slice(1000));
        for (tag, range) in [
            (("etag", "W/\"a\""), of_1000),
            (TAG, ("content-range", "bytes 0-98/1000")),
            (TAG, ("content-range", "bytes 0-99/*")),
            (TAG, ("content-range", "bytes 0-99/18446744073709551615")),
        ] {
            assert_eq!(fit(&[tag, range], 100, &[RANGE]), Fit::Nothing, "{tag:?} {range:?}");
        }
    }

    #[test]
    fn the_whole_says_its_length_twice() {
        let whole = ("content-range", "bytes 0-49/50");
        assert_eq!(fit(&[whole], 50, &[RANGE]), Fit::Whole);
        assert_eq!(fit(&[whole], 40, &[RANGE]), Fit::Nothing);
        let unsaid = Fit::of(&map(&[whole]), None, Span { start: 0, end: 100 }, &map(&[RANGE]));
        assert_eq!(unsaid, Fit::Nothing);
    }

    #[test]
    fn what_the_client_asked_for_is_its_own_unless_its_condition_fails() {
        let range = ("content-range", "bytes 10-19/50");
        assert_eq!(fit(&[range], 10, &[RANGE]), Fit::Client);
        let conditional = ("if-range", "\"old\"");
        assert_eq!(fit(&[range, ("etag", "W/\"new\"")], 10, &[RANGE, conditional]), Fit::Nothing);
    }
}
