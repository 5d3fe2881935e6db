//! One file of a simulated disk: what reads see, what is durable, and what lies between the two.

use std::{collections::VecDeque, ops::Range};

use nigh_base::{Rng, machine::Secrets as _};

use super::{SECTOR, UNSYNCED_MAX};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct File {
    visible: Vec<u8>,
    durable: Vec<u8>,
    unsynced: VecDeque<Change>,
}

#[derive(Clone, Debug, Hash)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl File {
    pub(super) fn visible(&self) -> &[u8] {
        &self.visible
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8], debris: &mut Debris) {
        put(&mut self.visible, offset, bytes);
        self.unsynced.push_back(Change::Write { offset, bytes: bytes.to_vec() });
        self.write_back(UNSYNCED_MAX, debris);
    }

    pub(super) fn set_length(&mut self, length: usize, debris: &mut Debris) {
        self.visible.resize(length, 0);
        self.unsynced.push_back(Change::Length(length));
        self.write_back(UNSYNCED_MAX, debris);
    }

    /// Makes all changes durable, but for those that an earlier [`File::settle`] forgot.
    pub(super) fn sync(&mut self, debris: &mut Debris) {
        self.write_back(0, debris);
    }

    /// Makes the oldest changes durable until `left` are left.
    fn write_back(&mut self, left: usize, debris: &mut Debris) {
        let count = self.unsynced.len().saturating_sub(left);
        for change in self.unsynced.drain(..count) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.durable, offset, &bytes),
                Change::Length(length) => {
                    debris.bury(&self.durable, length);
                    self.durable.resize(length, 0);
                }
            }
        }
    }

    /// Makes durable what the seed keeps of each change, and forgets the rest.
    pub(super) fn settle(&mut self, rng: &mut Rng, debris: &mut Debris) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => {
                    keep_some(&mut self.durable, offset, &bytes, rng, debris);
                }
                Change::Length(length) if rng.one_in(2) => {
                    debris.bury(&self.durable, length);
                    self.durable.truncate(length);
                    grow(&mut self.durable, length, rng, debris);
                }
                Change::Length(_) => {}
            }
        }
    }

    /// The same, and reads see no more than that.
    pub(super) fn crash(&mut self, rng: &mut Rng, debris: &mut Debris) {
        self.settle(rng, debris);
        self.visible = self.durable.clone();
    }

    /// Flips a bit of a durable byte. A page that was written since is read from memory.
    pub(super) fn flip(&mut self, offset: usize, bit: u64) {
        let durable = &mut self.durable[offset];
        let in_memory = self.unsynced.iter().any(|change| match change {
            Change::Write { offset: start, bytes } => {
                (*start..start + bytes.len()).contains(&offset)
            }
            Change::Length(length) => *length <= offset,
        });
        if let Some(visible) = self.visible.get_mut(offset)
            && !in_memory
            && visible == durable
        {
            *visible ^= 1 << bit;
        }
        *durable ^= 1 << bit;
    }
}

/// What was removed from the disk and still lies on it: at each offset, the last durable byte that
/// a file lost there. So the hole in a file shows the records of the file before it, where a reader
/// looks for records and with checksums that fit.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Debris(Vec<u8>);

impl Debris {
    /// Takes what `content` holds behind `from`.
    pub(super) fn bury(&mut self, content: &[u8], from: usize) {
        let end = content.len().min(DEBRIS_MAX);
        if from < end {
            put(&mut self.0, from, &content[from..end]);
        }
    }
}

/// Writes those sectors of a write that the seed keeps.
fn keep_some(content: &mut Vec<u8>, offset: usize, bytes: &[u8], rng: &mut Rng, debris: &Debris) {
    let end = offset + bytes.len();
    let fate = match rng.below(4) {
        0 => Fate::Kept,
        1 => Fate::Lost,
        2 => Fate::Cut(rng.index(sectors(offset..end).count() + 1)),
        _ => Fate::Scattered,
    };
    // The length lies elsewhere than the data, and may arrive without it.
    if rng.one_in(4) {
        grow(content, end, rng, debris);
    }
    for (number, sector) in sectors(offset..end).enumerate() {
        let kept = match fate {
            Fate::Kept => true,
            Fate::Lost => false,
            Fate::Cut(count) => number < count,
            Fate::Scattered => rng.one_in(2),
        };
        if kept {
            grow(content, sector.start, rng, debris);
            put(content, sector.start, &bytes[sector.start - offset..sector.end - offset]);
        }
    }
}

enum Fate {
    Kept,
    Lost,
    /// Only so many sectors from its start were reached.
    Cut(usize),
    /// The device took its sectors in an order of its own.
    Scattered,
}

/// Lengthens `content` to `length`, if it is shorter, by a hole in which anything may lie.
fn grow(content: &mut Vec<u8>, length: usize, rng: &mut Rng, debris: &Debris) {
    for hole in sectors(content.len()..length) {
        content.resize(hole.end, 0);
        let bytes = &mut content[hole.clone()];
        match rng.below(3) {
            0 => {}
            1 => rng.fill(bytes),
            _ => {
                let old = debris.0.get(hole.start..).unwrap_or_default();
                bytes.iter_mut().zip(old).for_each(|(byte, old)| *byte = *old);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    content.resize(content.len().max(end), 0);
    content[offset..end].copy_from_slice(bytes);
}

/// `range`, cut where the sectors of a file meet.
fn sectors(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let Range { mut start, end } = range;
    std::iter::from_fn(move || {
        let sector = start..end.min((start / SECTOR + 1) * SECTOR);
        start = sector.end;
        (!sector.is_empty()).then_some(sector)
    })
}

/// Bytes of removed files that are remembered: enough for a few records at the head of each, where
/// a new file has its holes in a test.
const DEBRIS_MAX: usize = 64 * 1024;
