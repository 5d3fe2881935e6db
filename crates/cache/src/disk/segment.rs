//! What a segment has besides its records: a header in front, a table and a trailer at its end.

use nigh_base::machine::DiskError;
use twox_hash::XxHash3_64;

use super::{
    Storage,
    record::{ALIGN, Frame, HEAD, Head, Kind},
};

/// The first bytes of a segment, and the last of a sealed one. The digit is the version of the
/// form, packed fields included.
const MAGIC: u64 = u64::from_le_bytes(*b"nighseg2");
/// Bytes of the header: magic, number, salt, seed, check.
pub(super) const HEADER: u64 = 40;
/// Bytes of the trailer: entries, check of the table, check of the trailer, magic.
pub(super) const TRAILER: u64 = 32;
/// Bytes of an entry of the table.
pub(super) const ENTRY: u64 = 24;
/// What is read at once while a segment without a table is gone through.
const STEP: usize = 256 * 1024;

/// The name of a segment's file.
pub fn file_name(number: u32) -> String {
    format!("{number:08x}.segment")
}

/// The number of the segment that has this name.
pub fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".segment")?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: u64,
    /// Of the hashes of keys.
    pub(super) seed: u64,
}

impl Header {
    pub(super) fn write(self, number: u32, out: &mut Vec<u8>) {
        let start = out.len();
        for word in [MAGIC, number.into(), self.salt, self.seed] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let check = XxHash3_64::oneshot_with_seed(0, &out[start..]);
        out.extend_from_slice(&check.to_le_bytes());
    }

    /// The header of segment `number`, or `None` if what stands there is none.
    pub(super) fn read(storage: &mut impl Storage, number: u32) -> Result<Option<Self>, DiskError> {
        let length = usize::try_from(HEADER).expect("a small number");
        let bytes = storage.read_at(number, 0, length)?;
        Ok(words(&bytes).and_then(|[magic, it, salt, seed, check]: [u64; 5]| {
            let whole = magic == MAGIC
                && it == u64::from(number)
                && check == XxHash3_64::oneshot_with_seed(0, &bytes[..length - 8]);
            whole.then_some(Self { salt, seed })
        }))
    }
}

/// Where a record stands, for the table and the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) hash: u64,
    /// In units of eight bytes, as is the length.
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) selecting: u32,
    pub(super) kind: Kind,
}

impl Entry {
    /// The entry of a record at `offset`.
    pub(super) fn new(head: &Head, offset: u64) -> Self {
        let units = |bytes: u64| u32::try_from(bytes / ALIGN as u64).expect("within a segment");
        Self {
            hash: head.hash,
            offset: units(offset),
            length: units(head.length()),
            selecting: head.selecting,
            kind: head.kind,
        }
    }

    pub(super) fn start(&self) -> u64 {
        u64::from(self.offset) * ALIGN as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.length as usize * ALIGN
    }
}

/// Appends table and trailer.
pub(super) fn write_end(entries: &[Entry], salt: u64, out: &mut Vec<u8>) {
    let start = out.len();
    for entry in entries {
        out.extend_from_slice(&entry.hash.to_le_bytes());
        for word in [entry.offset, entry.length, entry.selecting, entry.kind as u32] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    let table = XxHash3_64::oneshot_with_seed(salt, &out[start..]);
    let trailer = out.len();
    for word in [entries.len() as u64, table] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let check = XxHash3_64::oneshot_with_seed(salt, &out[trailer..]);
    for word in [check, MAGIC] {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// The entries of a segment of `length` bytes, in the order in which they were written: by its
/// table, or record by record up to the first that is none.
pub(super) fn entries(
    storage: &mut impl Storage,
    number: u32,
    length: u64,
    salt: u64,
) -> Result<Vec<Entry>, DiskError> {
    match table(storage, number, length, salt)? {
        Some(entries) => Ok(entries),
        None => walk(storage, number, length, salt),
    }
}

fn table(
    storage: &mut impl Storage,
    number: u32,
    length: u64,
    salt: u64,
) -> Result<Option<Vec<Entry>>, DiskError> {
    let Some(trailer) = length.checked_sub(TRAILER).filter(|&at| at >= HEADER) else {
        return Ok(None);
    };
    let size = usize::try_from(TRAILER).expect("a small number");
    let bytes = storage.read_at(number, trailer, size)?;
    let Some([count, table, check, magic]) = words::<4>(&bytes) else { return Ok(None) };
    if magic != MAGIC || check != XxHash3_64::oneshot_with_seed(salt, &bytes[..16]) {
        return Ok(None);
    }
    let size = count.checked_mul(ENTRY).filter(|&size| size <= trailer - HEADER);
    let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else { return Ok(None) };
    let bytes = storage.read_at(number, trailer - size as u64, size)?;
    if bytes.len() != size || table != XxHash3_64::oneshot_with_seed(salt, &bytes) {
        return Ok(None);
    }
    let (entries, _) = bytes.as_chunks::<24>();
    let entry = |bytes: &[u8; 24]| {
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("in it"));
        Some(Entry {
            hash: u64::from_le_bytes(*bytes.first_chunk().expect("in it")),
            offset: word(8),
            length: word(12),
            selecting: word(16),
            kind: Kind::from_byte(u8::try_from(word(20)).ok()?)?,
        })
    };
    let mut whole = Vec::with_capacity(entries.len());
    whole.extend(entries.iter().map_while(entry));
    Ok((whole.len() == entries.len()).then_some(whole))
}

fn walk(
    storage: &mut impl Storage,
    number: u32,
    length: u64,
    salt: u64,
) -> Result<Vec<Entry>, DiskError> {
    let mut entries = Vec::new();
    let mut at = HEADER;
    let (mut start, mut bytes) = (0, Vec::new());
    loop {
        let held = at.checked_sub(start).and_then(|skip| usize::try_from(skip).ok());
        let rest = held.and_then(|skip| bytes.get(skip..)).unwrap_or_default();
        if rest.len() < HEAD {
            if at + HEAD as u64 > length {
                return Ok(entries);
            }
            (start, bytes) = (at, storage.read_at(number, at, STEP)?);
            if bytes.len() < HEAD {
                return Ok(entries);
            }
            continue;
        }
        let Some(head) = Head::read(rest, Frame { salt, offset: at }) else { return Ok(entries) };
        let end = at + head.length();
        if end > length {
            return Ok(entries);
        }
        entries.push(Entry::new(&head, at));
        at = end;
    }
}

fn words<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: &[[u8; 8]; N] = words.try_into().ok().filter(|_| rest.is_empty())?;
    Some(words.map(u64::from_le_bytes))
}
