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
//! 80 key, selecting values, fields, checks of the body's pieces, body; zeros to a multiple of 8
//! ```
//! A body above [`INLINE_MAX`] has checks of its pieces, 8 bytes each, which the check of the content
//! covers instead of the body: it is read piece by piece (`beneath`). A shorter one has none, and is
//! covered itself.

use std::ops::Range;

use bytes::Bytes;
use http::StatusCode;
use twox_hash::XxHash3_64;

use super::{
    Place,
    beneath::{Beneath, Checks, PIECE},
};
use crate::{
    PackedFields,
    freshness::Terms,
    object::{Body, INLINE_MAX, Object},
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
/// Bytes of a check.
const CHECK: usize = 8;

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
    /// The checks of the body's pieces, and the body.
    Pieces = 2,
}

impl Form {
    const ALL: [Self; 3] = [Self::Whole, Self::Sliced, Self::Pieces];

    /// The form of a body of so many bytes.
    const fn of(length: u64) -> Self {
        if length > INLINE_MAX as u64 { Self::Pieces } else { Self::Whole }
    }

    /// Bytes of the checks before a body of so many bytes.
    const fn checks_length(self, body: u64) -> u64 {
        match self {
            Self::Pieces => body.div_ceil(PIECE as u64) * CHECK as u64,
            Self::Whole | Self::Sliced => 0,
        }
    }
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
        if long(HEAD_CHECK) != XxHash3_64::oneshot_with_seed(frame.seed(), &head[..HEAD_CHECK]) {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(head[0])?,
            form: Form::ALL.into_iter().find(|form| *form as u8 == head[1])?,
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

    /// Bytes before the body.
    fn front(&self) -> u64 {
        let lengths = [self.key_len, self.selecting_len, self.fields_len];
        let checks = self.form.checks_length(self.body_len.into());
        HEAD as u64 + lengths.into_iter().map(u64::from).sum::<u64>() + checks
    }

    /// Bytes that the check of the content covers, and those before them.
    fn covered(&self) -> u64 {
        match self.form {
            Form::Pieces => self.front(),
            Form::Whole | Form::Sliced => self.front() + u64::from(self.body_len),
        }
    }

    /// Bytes of the whole record.
    pub(super) fn length(&self) -> u64 {
        (self.front() + u64::from(self.body_len)).next_multiple_of(ALIGN as u64)
    }

    /// Where the checks of the pieces stand, and where the body does.
    fn pieces(&self) -> (Range<usize>, Range<usize>) {
        let place = |at: u64| usize::try_from(at).expect("a record is in memory");
        let (front, body) = (place(self.front()), self.body_len as usize);
        let checks = place(self.form.checks_length(self.body_len.into()));
        (front - checks..front, front..front + body)
    }

    fn to_bytes(self, frame: Frame) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[0] = self.kind as u8;
        out[1] = self.form as u8;
        out[2..4].copy_from_slice(&self.status.to_le_bytes());
        let words =
            [self.key_len, self.selecting_len, self.fields_len, self.body_len, self.selecting];
        for (at, word) in words.into_iter().enumerate() {
            out[4 + 4 * at..][..4].copy_from_slice(&word.to_le_bytes());
        }
        out[24..32].copy_from_slice(&self.hash.to_le_bytes());
        out[32..64].copy_from_slice(&self.terms);
        out[CONTENT_CHECK..HEAD_CHECK].copy_from_slice(&self.content_check.to_le_bytes());
        let check = XxHash3_64::oneshot_with_seed(frame.seed(), &out[..HEAD_CHECK]);
        out[HEAD_CHECK..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// Works out the checks of a record that stands in `record` but for them, for its place `frame`.
    fn seal(self, frame: Frame, record: &mut [u8]) {
        let (checks, body) = self.pieces();
        if self.form == Form::Pieces {
            let (front, pieces) = record.split_at_mut(body.start);
            let places = front[checks].chunks_exact_mut(CHECK);
            for ((number, piece), place) in
                pieces[..body.len()].chunks(PIECE).enumerate().zip(places)
            {
                let check = Checks::of(frame.seed(), number, piece);
                place.copy_from_slice(&check.to_le_bytes());
            }
        }
        let content = &record[HEAD..usize::try_from(self.covered()).expect("it is in memory")];
        let content_check = XxHash3_64::oneshot_with_seed(frame.seed(), content);
        record[..HEAD].copy_from_slice(&Self { content_check, ..self }.to_bytes(frame));
    }
}

/// The hash by which selecting values are told apart in the index.
pub(super) fn selecting_hash(selecting: &[u8]) -> u32 {
    u32::try_from(XxHash3_64::oneshot(selecting) >> 32).expect("the upper half")
}

/// Bytes that the record of `object` takes; `None` if it is no object for a disk: parts of a
/// representation, or more than a record can say.
pub(super) fn length_of(object: &Object) -> Option<u64> {
    let (form, body) = match object.body() {
        Body::Sliced(_) => (Form::Sliced, slices::BYTES as u64),
        _ => {
            let length = object.length().filter(|_| object.is_whole())?;
            (Form::of(length), length)
        }
    };
    let fields: usize = object.fields().packed().map(<[u8]>::len).iter().sum();
    let head = (object.key().len() + object.selecting().len() + fields) as u64;
    let content = body.checked_add(head)?.checked_add(form.checks_length(body))?;
    u32::try_from(content).ok()?;
    Some((HEAD as u64 + content).next_multiple_of(ALIGN as u64))
}

/// Appends the record of `object`. What lies `beneath` of it is its body, if that does not lie in
/// memory.
pub(super) fn write(
    object: &Object,
    beneath: Option<&[u8]>,
    hash: u64,
    frame: Frame,
    out: &mut Vec<u8>,
) {
    let length = |bytes: usize| u32::try_from(bytes).expect("its length was asked first");
    let [common, own] = object.fields().packed();
    let blocks: &[Bytes] = match object.body() {
        Body::Blocks(blocks) => blocks,
        _ => &[],
    };
    let sliced = object.sliced().map(Sliced::to_bytes);
    let inline = match object.body() {
        Body::Inline(bytes) => bytes,
        Body::Sliced(_) => sliced.as_ref().map_or(&[][..], |bytes| bytes),
        Body::Beneath(_) => beneath.expect("whoever writes it again has read it"),
        Body::Blocks(_) | Body::Partial(_) => &[],
    };
    let body = blocks.iter().map(Bytes::len).sum::<usize>() + inline.len();
    let head = Head {
        kind: Kind::Object,
        form: if sliced.is_some() { Form::Sliced } else { Form::of(body as u64) },
        hash,
        selecting: selecting_hash(object.selecting()),
        status: object.status().as_u16(),
        key_len: length(object.key().len()),
        selecting_len: length(object.selecting().len()),
        fields_len: length(common.len() + own.len()),
        body_len: length(body),
        terms: object.terms().to_bytes(),
        content_check: 0,
    };
    let start = out.len();
    out.resize(start + HEAD, 0);
    for part in [object.key(), object.selecting(), common, own] {
        out.extend_from_slice(part);
    }
    out.resize(start + head.pieces().1.start, 0);
    out.extend_from_slice(inline);
    blocks.iter().for_each(|block| out.extend_from_slice(block));
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN), 0);
    head.seal(frame, &mut out[start..]);
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
    out.extend_from_slice(&head.to_bytes(frame));
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
        content_check: 0,
    };
    let start = out.len();
    out.resize(start + HEAD, 0);
    out.extend_from_slice(&content);
    out.resize(start + (out.len() - start).next_multiple_of(ALIGN), 0);
    head.seal(frame, &mut out[start..]);
}

/// The purge rule that is written here, if there is one.
pub(super) fn read_rule(record: &[u8], frame: Frame) -> Option<Rule> {
    let (head, content) = checked(record, frame)?;
    (head.kind == Kind::Rule).then(|| Rule::from_bytes(content))?
}

/// Appends a whole record that was written at `from` as it is written at `to`; false, and nothing,
/// if one of its checks does not hold.
pub(super) fn write_again(record: &[u8], from: Frame, to: Frame, out: &mut Vec<u8>) -> bool {
    let Some((head, _)) = checked(record, from) else { return false };
    if record.len() as u64 != head.length() {
        return false;
    }
    let (checks, body) = head.pieces();
    let checks = record[checks].as_chunks::<CHECK>().0;
    let mut pieces = record[body].chunks(PIECE).zip(checks).enumerate();
    let is_whole = |(number, (piece, check)): (usize, (&[u8], &[u8; CHECK]))| {
        Checks::of(from.seed(), number, piece) == u64::from_le_bytes(*check)
    };
    if head.form == Form::Pieces && !pieces.all(is_whole) {
        return false;
    }
    let start = out.len();
    out.extend_from_slice(record);
    head.seal(to, &mut out[start..]);
    true
}

/// How many bytes of a record have to be read before it says what it holds, all checked but the
/// pieces of a body; `None` if no record begins here.
pub(super) fn needed(record: &[u8], frame: Frame) -> Option<usize> {
    usize::try_from(Head::read(record, frame)?.covered()).ok()
}

/// The head and the content of a record whose checks hold; of a body in pieces, these checks alone.
fn checked(record: &[u8], frame: Frame) -> Option<(Head, &[u8])> {
    let head = Head::read(record, frame)?;
    let content = record.get(HEAD..usize::try_from(head.covered()).ok()?)?;
    let check = XxHash3_64::oneshot_with_seed(frame.seed(), content);
    (check == head.content_check).then_some((head, content))
}

/// Makes the check of a head hold, whatever it says: what a disk never does, and fuzzing does.
///
/// # Panics
/// If there is no whole head.
pub(super) fn check_head(record: &mut [u8], frame: Frame) {
    let check = XxHash3_64::oneshot_with_seed(frame.seed(), &record[..HEAD_CHECK]);
    record[HEAD_CHECK..HEAD].copy_from_slice(&check.to_le_bytes());
}

/// Makes both checks of a record hold, if its lengths lie within it.
pub(super) fn check_record(record: &mut [u8], frame: Frame) {
    if record.len() < HEAD {
        return;
    }
    check_head(record, frame);
    let covered = Head::read(record, frame).map(|head| head.covered());
    let content = covered.and_then(|end| record.get(HEAD..usize::try_from(end).ok()?));
    if let Some(content) = content {
        let check = XxHash3_64::oneshot_with_seed(frame.seed(), content);
        record[CONTENT_CHECK..HEAD_CHECK].copy_from_slice(&check.to_le_bytes());
        check_head(record, frame);
    }
}

/// A stored response as it was read.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) status: StatusCode,
    pub(crate) terms: Terms,
    pub(crate) key: &'a [u8],
    pub(crate) selecting: &'a [u8],
    pub(crate) fields: PackedFields<'a>,
    pub(crate) body: Stored<'a>,
}

/// The body of a stored response as it was read.
#[derive(Debug)]
pub(crate) enum Stored<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// How it is sliced.
    Sliced(Sliced),
    /// Where it lies.
    Beneath(Beneath),
}

impl<'a> Record<'a> {
    /// Reads a record that lies at `place`, of which [`needed`] bytes are here; `None` if it is not
    /// what was written there.
    pub(super) fn read(bytes: &'a [u8], place: &Place) -> Option<Self> {
        let frame = place.frame();
        let (head, content) = checked(bytes, frame)?;
        if head.kind != Kind::Object || head.length() != place.length as u64 {
            return None;
        }
        let mut rest = content;
        let mut next = |length: u32| {
            let (part, behind) = rest.split_at_checked(length as usize)?;
            rest = behind;
            Some(part)
        };
        let (key, selecting) = (next(head.key_len)?, next(head.selecting_len)?);
        let fields = PackedFields::new(&[], next(head.fields_len)?);
        let body = match head.form {
            Form::Whole => Stored::Whole(rest),
            Form::Sliced => Stored::Sliced(Sliced::from_bytes(rest)?),
            Form::Pieces => {
                let (checks, _) = rest.as_chunks();
                let pieces = checks.iter().map(|check| u64::from_le_bytes(*check)).collect();
                let checks = Checks { seed: frame.seed(), pieces };
                let (front, length) = (head.front(), head.body_len.into());
                Stored::Beneath(Beneath::new(*place, head.selecting, front, length, checks))
            }
        };
        let status = StatusCode::from_u16(head.status).ok()?;
        let terms = Terms::from_bytes(&head.terms)?;
        Some(Self { status, terms, key, selecting, fields, body })
    }
}
