//! How a stored response answers one request: whole, in ranges, or with what the client's
//! conditions make of it. RFC 9110, sections 13 and 14.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use nigh_base::Wall;
use nigh_cache::{
    conditional::{self, Outcome},
    fields::Fields,
    object::Object,
    range::{ContentRange, Multipart, Ranges, Resolved, Span, Unsatisfied},
    run::Run,
};

use crate::respond::Shape;

/// An answer from a stored response: the shape of its head, and its content.
#[derive(Debug)]
pub struct Reply {
    /// The head.
    pub shape: Shape,
    /// The content; empty where the method or the status forbids one.
    pub content: Content,
}

/// The content of an answer from the store. Reads without copying.
#[derive(Debug)]
pub enum Content {
    /// None.
    Empty,
    /// One run of the stored body.
    Run(Run),
    /// Several, with what stands between them.
    Parts(VecDeque<Part>),
    /// Bytes that were read from a disk.
    Bytes(Bytes),
    /// Bytes of slices, or of a body on a disk, which whoever answers has to bring first.
    Awaited(Span),
    /// Several ranges of a body on a disk, with what stands between them.
    AwaitedParts(VecDeque<Part>),
}

/// A piece of a multipart answer.
#[derive(Debug)]
pub enum Part {
    /// A delimiter and the fields of a part.
    Delimiter(Bytes),
    /// The bytes of a range.
    Run(Run),
    /// Bytes of a body on a disk, which whoever answers has to bring first.
    Awaited(Span),
}

/// Works out the answer to a GET or HEAD; `None` if this stored response cannot give it: it lacks
/// the bytes, or the origin alone can judge the request's conditions.
///
/// Allocates nothing for a request without conditions and ranges.
pub fn reply(object: &Object, method: &Method, request: &impl Fields, now: Wall) -> Option<Reply> {
    let stored = object.fields();
    let received = object.terms().response_time();
    match conditional::evaluate(method, request, object.status(), &stored, received) {
        Outcome::Proceed => {}
        Outcome::NotModified => {
            return Some(Reply { shape: Shape::NotModified, content: Content::Empty });
        }
        Outcome::PreconditionFailed => return None,
    }
    // Section 14.2: Range is for GET, and for what would be a 200.
    let asked = (method == Method::GET && object.status() == StatusCode::OK)
        .then(|| Ranges::parse(request))
        .flatten()
        .filter(|_| conditional::range_applies(request, &stored));
    let resolved = match (&asked, object.length()) {
        (None, _) => Resolved::Whole,
        (Some(asked), Some(length)) => asked.resolve(length),
        (Some(_), None) => return None,
    };
    let held = |span: &Span| match object.body() {
        nigh_cache::object::Body::Partial(partial) => partial.parts.covers(*span),
        _ => true,
    };
    let is_sliced = object.sliced().is_some();
    let is_awaited = is_sliced || object.beneath().is_some();
    match resolved {
        Resolved::Whole if object.is_whole() => {
            let length = object.length().filter(|_| object.status() != StatusCode::NO_CONTENT);
            let content = match (method, length) {
                (&Method::HEAD, _) | (_, None | Some(0)) => Content::Empty,
                (_, Some(end)) if is_awaited => Content::Awaited(Span { start: 0, end }),
                _ => Content::Run(Run::whole(object.clone())),
            };
            Some(Reply { shape: Shape::Whole { length }, content })
        }
        Resolved::Whole => None,
        Resolved::One(span) => held(&span).then(|| Reply {
            shape: Shape::Range(ContentRange { span, complete: object.length() }),
            content: match is_awaited {
                true => Content::Awaited(span),
                false => Content::Run(Run::new(object.clone(), span.start..span.end)),
            },
        }),
        // Nobody asks for several ranges of what is that large.
        Resolved::Many(_) if is_sliced => None,
        Resolved::Many(spans) => {
            let spans = spans.as_slice();
            spans.iter().all(held).then(|| multipart(object, spans, now))?
        }
        Resolved::Unsatisfiable => Some(Reply {
            shape: Shape::Unsatisfiable(Unsatisfied(object.length()?)),
            content: Content::Empty,
        }),
    }
}

fn multipart(object: &Object, spans: &[Span], now: Wall) -> Option<Reply> {
    let stored = object.fields();
    // It must not occur in the content, and whoever wrote the content could not guess it.
    let boundary =
        format!("nigh-{:016x}{:016x}", object.nonce(now.millis()), object.nonce(spans[0].end));
    let plan = Multipart {
        boundary: &boundary,
        content_type: stored.first("content-type"),
        spans,
        complete: object.length()?,
    };
    let mut parts = VecDeque::with_capacity(2 * spans.len() + 1);
    for (at, span) in spans.iter().enumerate() {
        let mut head = Vec::new();
        plan.head(at, &mut head);
        parts.push_back(Part::Delimiter(head.into()));
        parts.push_back(match object.beneath() {
            Some(_) => Part::Awaited(*span),
            None => Part::Run(Run::new(object.clone(), span.start..span.end)),
        });
    }
    parts.push_back(Part::Delimiter(plan.tail().into()));
    let shape = Shape::Ranges { content_type: plan.answer_type(), length: plan.length() };
    let content = match object.beneath() {
        Some(_) => Content::AwaitedParts(parts),
        None => Content::Parts(parts),
    };
    Some(Reply { shape, content })
}

/// The bytes of what is awaited.
static NOTHING: &[u8] = &[];

impl Part {
    fn as_buf(&self) -> &dyn Buf {
        match self {
            Self::Delimiter(bytes) => bytes,
            Self::Run(run) => run,
            Self::Awaited(_) => &NOTHING,
        }
    }
}

impl Content {
    /// Whether bytes of it have to be brought first.
    pub const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(_) | Self::AwaitedParts(_))
    }
}

/// What is awaited has no bytes yet.
impl Buf for Content {
    fn remaining(&self) -> usize {
        match self {
            Self::Empty | Self::Awaited(_) | Self::AwaitedParts(_) => 0,
            Self::Bytes(bytes) => bytes.remaining(),
            Self::Run(run) => run.remaining(),
            Self::Parts(parts) => parts.iter().map(|part| part.as_buf().remaining()).sum(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Empty | Self::Awaited(_) | Self::AwaitedParts(_) => &[],
            Self::Bytes(bytes) => bytes.chunk(),
            Self::Run(run) => run.chunk(),
            Self::Parts(parts) => parts.front().map_or(&[], |part| part.as_buf().chunk()),
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Empty | Self::Awaited(_) | Self::AwaitedParts(_) => 0,
            Self::Bytes(bytes) => bytes.chunks_vectored(slices),
            Self::Run(run) => run.chunks_vectored(slices),
            Self::Parts(parts) => {
                let mut filled = 0;
                for part in parts {
                    filled += part.as_buf().chunks_vectored(&mut slices[filled..]);
                    if filled == slices.len() {
                        break;
                    }
                }
                filled
            }
        }
    }

    fn advance(&mut self, mut count: usize) {
        match self {
            Self::Empty | Self::Awaited(_) | Self::AwaitedParts(_) => {
                assert!(count == 0, "advanced past the end of an empty content")
            }
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Run(run) => run.advance(count),
            Self::Parts(parts) => {
                while let Some(front) = parts.front_mut() {
                    let step = front.as_buf().remaining().min(count);
                    match front {
                        Part::Delimiter(bytes) => bytes.advance(step),
                        Part::Run(run) => run.advance(step),
                        Part::Awaited(_) => {}
                    }
                    count -= step;
                    if front.as_buf().has_remaining() {
                        break;
                    }
                    parts.pop_front();
                }
                assert!(count == 0, "advanced past the end of a content");
            }
        }
    }
}

#[cfg(test)]
mod tests;
