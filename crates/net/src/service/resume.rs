//! A response from another edge of the cluster. If that edge dies or stands still in its midst, it goes on
//! at the next one, by range, under the response's strong validator. RFC 9110, sections 8.8.1, 14.2 and 15.3.7.

use std::rc::Rc;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use hyper::body::Frame;
use nigh_cache::{
    conditional,
    flight::Failure,
    range::{ContentRange, Span},
};
use nigh_edge::plan::Manner;

use super::{
    Ask, Service,
    fetch::{Task, arrive},
    outgoing::target,
};
use crate::{body::RequestBody, origin::Fetched};

/// How often one response is begun anew: more edges do not die while it lasts.
const RESUMES_MAX: u32 = 3;

/// Such a response's body.
pub(super) struct Resumable {
    service: Rc<Service>,
    ask: Rc<Ask>,
    fetched: Fetched,
    /// What tells the representation from others, and its length in bytes; `None` if its rest could not
    /// be asked for.
    whole: Option<(Box<[u8]>, u64)>,
    /// Bytes that came.
    came: u64,
    /// Bytes of the response at hand that came before.
    skip: u64,
    resumes: u32,
}

impl Resumable {
    /// The body of a response with these status and fields, which a sibling gave.
    pub(super) fn new(
        service: &Rc<Service>,
        ask: &Rc<Ask>,
        mut fetched: Fetched,
        (status, fields): (StatusCode, &HeaderMap),
    ) -> Box<Self> {
        let validator = conditional::strong_validator(fields).filter(|_| status == StatusCode::OK);
        let whole = validator.map(Box::from).zip(fetched.length());
        if whole.is_none() {
            fetched.unwatch();
        }
        let (service, ask) = (Rc::clone(service), Rc::clone(ask));
        Box::new(Self { service, ask, fetched, whole, came: 0, skip: 0, resumes: 0 })
    }

    /// Its next frame; `None` at its end.
    ///
    /// # Errors
    /// If it broke off, and nobody has the rest.
    pub(super) async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Failure> {
        loop {
            let failure = match self.fetched.frame().await {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => match frame.into_data() {
                    Err(trailers) => return Ok(Some(trailers)),
                    Ok(mut bytes) => {
                        let skipped =
                            usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                        bytes.advance(skipped);
                        self.skip -= skipped as u64;
                        if bytes.is_empty() {
                            continue;
                        }
                        self.came += bytes.len() as u64;
                        return Ok(Some(Frame::data(bytes)));
                    }
                },
                Err(failure) => failure,
            };
            match self.resume().await {
                Some(()) => self.service.counters.sibling_resumed(),
                // Nobody else has it, and it may go on yet.
                None if failure == Failure::GivenUp => self.fetched.unwatch(),
                None => {
                    self.service.counters.sibling_cut();
                    return Err(failure);
                }
            }
        }
    }

    /// Asks for the rest; `None` if nobody gives it.
    async fn resume(&mut self) -> Option<()> {
        let (validator, complete) = self.whole.as_ref()?;
        self.resumes += 1;
        let rest = Span::new(self.came, *complete).filter(|_| self.resumes <= RESUMES_MAX)?;
        let ask = &self.ask;
        let task = Task {
            ask: Rc::clone(ask),
            target: target(&ask.sent())?,
            validate: None,
            manner: Manner::Slice,
            conditions: false,
            slice: Some(rest),
        };
        let road = self.service.road(ask, Manner::Shared, 0);
        let sent = self.service.send(&task, RequestBody::Empty, road, None).await;
        let (fetched, giver) = sent.ok()?;
        let mut fields = fetched.head.headers.clone();
        arrive(ask.route.rule(), giver, &mut fields);
        if conditional::strong_validator(&fields) != Some(validator) {
            return None;
        }
        let expected = ContentRange { span: rest, complete: Some(*complete) };
        self.skip = match fetched.head.status {
            StatusCode::PARTIAL_CONTENT if ContentRange::of(&fields) == Some(expected) => 0,
            StatusCode::OK if fetched.length() == Some(*complete) => self.came,
            _ => return None,
        };
        self.fetched = fetched;
        Some(())
    }
}
