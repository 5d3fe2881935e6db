//! A record of the log: an object, or the word that something is gone.
//!
//! ```text
//!  0 kind: u8, form of the body: u8, status: u16
//!  4 lengths of key, selecting values, fields and body: u32 each
//! 20 hash of the selecting values: u32
//! 24 hash of the key: u64
//! 32 terms (32 bytes)
//! 64 check of the content: u64
//! 72 check of the head: u64
//! 80 key, selecting values, fields, body; zeros to a multiple of 8
//! ```

use std::ops::Range;

use bytes::Bytes;
use http::StatusCode;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::{
    PackedFields,
    freshness::Terms,
    object::{Body, Object},
    purge::Rule,
    slices::{self, Sliced},
};

/// Bytes before the content.
pub(super) const HEAD: usize = 80;
/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;
/// Where the check of the head stands, and how far it reaches.
pub(super) const HEAD_CHECK: usize = 72;
const CONTENT_CHECK: usize = 64;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// This is stored.
    Object = 1,
    /// One variant of a key is gone.
    VariantGone = 2,
    /// All variants of a key are gone.
    KeyGone = 3,
    /// Everything before is gone.
    AllGone = 4,
    /// A purge rule, which stands where objects have their key.
    Rule = 5,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Object, Self::VariantGone, Self::KeyGone, Self::AllGone, Self::Rule]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// What stands where an object has its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The body.
    Whole = 0,
    /// How it is sliced; the slices are records of their own.
    Sliced = 1,
}

/// Where a record stands, which its checks depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) salt: u64,
    pub(super) offset: u64,
}

impl Frame {
    const fn seed(self) -> u64 {
        self.salt ^ self.offset
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) hash: u64,
    pub(super) selecting: u32,
    form: Form,
    status: u16,
    key_len: u32,
    selecting_len: u32,
    fields_len: u32,
    body_len: u32,
    terms: [u8; Terms::BYTES],
    content_check: u64,
}

impl Head {
    /// Reads a head at the front of `bytes`, if a whole one stands there.
    pub(super) fn read(bytes: &[u8], frame: Frame) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes(*head[at..].first_chunk().expect("in the head"));
        let long = |at: usize| u64::from_le_bytes(*head[at..].first_chunk().expect("in the head"));
        if long(HEAD_CHECK) != xxh3_64_with_seed(&head[..HEAD_CHECK], frame.seed()) {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(head[0])?,
            form: [Form::Whole, Form::Sliced].into_iter().find(|form| *form as u8 == head[1])?,
            status: u16::from_le_bytes([head[2], head[3]]),
            key_len: word(4),
            selecting_len: word(8),
            fields_len: word(12),
            body_len: word(16),
            selecting: word(20),
            hash: long(24),
            terms: *head[32..].first_chunk().expect("in the head"),
            content_check: long(CONTENT_CHECK),
        })
    }

    fn content_length(&self) -> u64 {
        [self.key_len, self.selecting_len, self.fields_len, self.body_len]
            .into_iter()
            .map(u64::from)
            .sum()
    }

    /// Bytes of the whole record.
    pub(super) fn length(&self) -> u64 {
        (HEAD as u64 + self.content_length()).next_multiple_of(ALIGN as u64)
    }

    fn write(&self, out: &mut Vec<u8>, frame: Frame) {
        let start = out.len();
        out.extend_from_slice(&[self.kind as u8, self.form as u8]);
        out.extend_from_slice(&self.status.to_le_bytes());
        for word in
            [self.key_len, self.selecting_len, self.fields_len, self.body_len, self.selecting]
        {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.terms);
        out.extend_from_slice(&self.content_check.to_le_bytes());
        let check = xxh3_64_with_seed(&out[start..], frame.seed());
        out.extend_from_slice(&check.to_le_bytes());
    }
}

/// The hash by which selecting values are told apart in the index.
pub(super) fn selecting_hash(selecting: &[u8]) -> u32 {
    u32::try_from(xxh3_64(selecting) >> 32).expect("the upper half")
}

/// Bytes that the record of `object` takes; `None` if it is no object for a disk: parts of a
/// representation, or more than a record can say.
pub(super) fn length_of(object: &Object) -> Option<u64> {
    let body = match object.body() {
        Body::Sliced(_) => slices::BYTES as u64,
        _ => object.length().filter(|_| object.is_whole())?,
    };
    let fields: usize = object.fields().packed().map(<[u8]>::len).iter().sum();
    let head = object.key().len() + object.selecting().len() + fields;
    let content = body.checked_add(head as u64)?;
    u32::try_from(content).ok()?;
    Some((HEAD as u64 + content).next_multiple_of(ALIGN as u64))
}

/// Appends the record of `object`.
pub(super) fn write(object: &Object, hash: u64, frame: Frame, out: &mut Vec<u8>) {
    let length = |bytes: u64| u32::try_from(bytes).expect("its length was asked first");
    let [common, own] = object.fields().packed();
    let blocks: &[Bytes] = match object.body() {
        Body::Blocks(blocks) => blocks,
        Body::Inline(_) | Body::Partial(_) | Body::Sliced(_) => &[],
    };
    let sliced = object.sliced().map(Sliced::to_bytes);
    let inline = match object.body() {
        Body::Inline(bytes) => bytes,
        Body::Sliced(_) => sliced.as_ref().map_or(&[][..], |bytes| bytes),
        Body::Blocks(_) | Body::Partial(_) => &[],
    };
    let body: u64 = blocks.iter().map(|block| block.len() as u64).sum();
    let front = [object.key(), object.selecting(), common, own, inline];
    let mut check = Xxh3::with_seed(frame.seed());
    let pieces = || front.into_iter().chain(blocks.iter().map(|block| &block[..]));
    pieces().for_each(|piece| check.update(piece));
    let head = Head {
        kind: Kind::Object,
        form: if sliced.is_some() { Form::Sliced } else { Form::Whole },
        hash,
        selecting: selecting_hash(object.selecting()),
        status: object.status().as_u16(),
        key_len: length(object.key().len() as u64),
        selecting_len: length(object.selecting().len() as u64),
        fields_len: length((common.len() + own.len()) as u64),
        body_len: length(body + inline.len() as u64),
        terms: object.terms().to_bytes(),
        content_check: check.digest(),
    };
    let start = out.len();
    head.write(out, frame);
    pieces().for_each(|piece| out.extend_from_slice(piece));
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN), 0);
}

/// Appends the word that something is gone.
pub(super) fn write_gone(kind: Kind, hash: u64, selecting: u32, frame: Frame, out: &mut Vec<u8>) {
    let head = Head {
        kind,
        form: Form::Whole,
        hash,
        selecting,
        status: 0,
        key_len: 0,
        selecting_len: 0,
        fields_len: 0,
        body_len: 0,
        terms: [0; Terms::BYTES],
        content_check: 0,
    };
    head.write(out, frame);
}

/// Appends a purge rule.
pub(super) fn write_rule(rule: &Rule, frame: Frame, out: &mut Vec<u8>) {
    let content = rule.to_bytes();
    let head = Head {
        kind: Kind::Rule,
        form: Form::Whole,
        hash: 0,
        selecting: 0,
        status: 0,
        key_len: u32::try_from(content.len()).expect("a rule's text has a limit"),
        selecting_len: 0,
        fields_len: 0,
        body_len: 0,
        terms: [0; Terms::BYTES],
        content_check: xxh3_64_with_seed(&content, frame.seed()),
    };
    let start = out.len();
    head.write(out, frame);
    out.extend_from_slice(&content);
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN), 0);
}

/// The purge rule that is written here, if there is one.
pub(super) fn read_rule(record: &[u8], frame: Frame) -> Option<Rule> {
    let (head, content) = checked(record, frame)?;
    (head.kind == Kind::Rule).then(|| Rule::from_bytes(content))?
}

/// Appends a whole record that was written at `from` as it is written at `to`; false, and nothing,
/// if its checks do not hold.
pub(super) fn write_again(record: &[u8], from: Frame, to: Frame, out: &mut Vec<u8>) -> bool {
    let Some((head, content)) = checked(record, from) else { return false };
    let content_check = xxh3_64_with_seed(content, to.seed());
    let start = out.len();
    Head { content_check, ..head }.write(out, to);
    out.extend_from_slice(content);
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN), 0);
    true
}

/// The head and the content of a record whose checks hold.
fn checked(record: &[u8], frame: Frame) -> Option<(Head, &[u8])> {
    let head = Head::read(record, frame)?;
    let end = HEAD.checked_add(usize::try_from(head.content_length()).ok()?)?;
    let content = record.get(HEAD..end)?;
    (xxh3_64_with_seed(content, frame.seed()) == head.content_check).then_some((head, content))
}

/// Makes the check of a head hold, whatever it says: what a disk never does, and fuzzing does.
///
/// # Panics
/// If there is no whole head.
pub(super) fn check_head(record: &mut [u8], frame: Frame) {
    let check = xxh3_64_with_seed(&record[..HEAD_CHECK], frame.seed());
    record[HEAD_CHECK..HEAD].copy_from_slice(&check.to_le_bytes());
}

/// Makes both checks of a record hold, if its lengths lie within it.
pub(super) fn check_record(record: &mut [u8], frame: Frame) {
    if record.len() < HEAD {
        return;
    }
    check_head(record, frame);
    let length = Head::read(record, frame).map(|head| head.content_length());
    let content = length.and_then(|length| record[HEAD..].get(..usize::try_from(length).ok()?));
    if let Some(content) = content {
        let check = xxh3_64_with_seed(content, frame.seed());
        record[CONTENT_CHECK..HEAD_CHECK].copy_from_slice(&check.to_le_bytes());
        check_head(record, frame);
    }
}

/// A stored response as it was read.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) status: StatusCode,
    pub(crate) terms: Terms,
    /// How it is sliced, if its body is not here.
    pub(crate) sliced: Option<Sliced>,
    bytes: Bytes,
    key: Range<usize>,
    selecting: Range<usize>,
    fields: Range<usize>,
    body: Range<usize>,
}

impl Record {
    /// Reads a record; `None` if it is not what was written there.
    pub(super) fn read(bytes: Bytes, frame: Frame) -> Option<Self> {
        let (head, _) = checked(&bytes, frame).filter(|(head, _)| head.kind == Kind::Object)?;
        let mut end = HEAD;
        let mut next = |length: u32| {
            let start = end;
            end += length as usize;
            start..end
        };
        let [key, selecting, fields, body] =
            [head.key_len, head.selecting_len, head.fields_len, head.body_len].map(&mut next);
        let sliced = match head.form {
            Form::Whole => None,
            Form::Sliced => Some(Sliced::from_bytes(&bytes[body.clone()])?),
        };
        Some(Self {
            status: StatusCode::from_u16(head.status).ok()?,
            terms: Terms::from_bytes(&head.terms)?,
            sliced,
            key,
            selecting,
            fields,
            body,
            bytes,
        })
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[self.key.clone()]
    }

    pub(crate) fn selecting(&self) -> &[u8] {
        &self.bytes[self.selecting.clone()]
    }

    pub(crate) fn fields(&self) -> PackedFields<'_> {
        PackedFields::new(&[], &self.bytes[self.fields.clone()])
    }

    /// The body, which shares the record's bytes.
    pub(crate) fn body(&self) -> Bytes {
        self.bytes.slice(self.body.clone())
    }
}
