//! Writing the log, letting go of its end, and finding everything again after a start.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use nigh_base::{ByteSize, Rng, Wall, machine::DiskError};

use super::{
    Index, Storage,
    index::LENGTH_MAX,
    record::{self, ALIGN, Frame, HEAD, Head, Kind, Record},
    segment::{self, ENTRY, Entry, Header, TRAILER},
};
use crate::{
    object::Object,
    purge::{Purges, Rule, Verdict, What},
};

/// Segments of a full disk: the part that leaves at once is small, and so is a segment's share of
/// what is rewritten.
const SEGMENTS: u64 = 64;
/// Bounds of a segment's bytes.
const SEGMENT_MIN: u64 = 128 * 1024;
const SEGMENT_MAX: u64 = 64 * 1024 * 1024;
/// The part of a segment that one record may take.
const RECORD_PART: u64 = 4;
/// The part of a segment that leaves which is written again at most.
const AGAIN_PART: u64 = 2;
/// Removals that a failing disk may owe; beyond that, everything is removed rather than one forgotten.
const OWED_MAX: usize = 1 << 16;
/// Purge rules that a failing disk may owe; beyond that, they become one that removes everything.
const OWED_RULES_MAX: usize = 8;
/// What is gathered before it is written.
const BUFFER: usize = 1024 * 1024;

/// How a log is made.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes that all segments may take together.
    pub size: u64,
    /// Bytes of a segment.
    pub segment: u64,
}

impl Settings {
    /// A log of `size` bytes, in segments of a 64th of that within bounds.
    pub fn new(size: ByteSize) -> Self {
        let size = size.bytes();
        let segment = (size / SEGMENTS).clamp(SEGMENT_MIN, SEGMENT_MAX);
        Self { size, segment: segment - segment % ALIGN as u64 }
    }

    /// The longest record.
    pub(super) fn record_max(&self) -> u64 {
        (self.segment / RECORD_PART).min(u64::from(LENGTH_MAX) * ALIGN as u64)
    }
}

/// What a log has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of all segments.
    pub used: u64,
    /// Objects written, those written again included.
    pub written: u64,
    /// Of these, objects written again when their segment left.
    pub rewritten: u64,
    /// Objects that left with their segment.
    pub evicted: u64,
    /// Writes, syncs and removals that failed.
    pub failed: u64,
    /// Objects that were not written because of that.
    pub lost: u64,
    /// Segments still to be gone through after the start.
    pub unread: u64,
}

/// The log's one writer.
#[derive(Debug)]
pub struct Log<S> {
    storage: S,
    index: Arc<Index>,
    settings: Settings,
    rng: Rng,
    /// What was written before the active segment, the oldest first.
    written: VecDeque<Written>,
    active: Option<Active>,
    /// Segments that have left and could not be removed yet, the oldest first. None is removed
    /// before it: an older record must not outlive the word that it is gone.
    leaving: VecDeque<Written>,
    next: u32,
    finding: Option<Finding>,
    /// Removals that did not reach the disk: they come first in the next segment.
    owed: Vec<(Kind, u64, u32)>,
    /// Purge rules that did not reach the disk, with their numbers.
    owed_rules: Vec<(u32, Rule)>,
    purges: Arc<Purges>,
    statistics: Statistics,
}

/// A segment to which nothing is added any more.
#[derive(Clone, Copy, Debug)]
struct Written {
    number: u32,
    length: u64,
}

/// The segment that is being written.
#[derive(Debug)]
struct Active {
    number: u32,
    salt: u64,
    /// What has reached the file.
    length: u64,
    /// What has not.
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    /// So many of them have reached the file, and stand in the index.
    published: usize,
    /// The purge rules among them, with their numbers and offsets.
    rules: Vec<(u32, Rule, u64)>,
}

impl Active {
    fn add_rule(&mut self, number: u32, rule: Rule) {
        let frame = Frame { salt: self.salt, offset: self.end() };
        let start = self.buffer.len();
        record::write_rule(&rule, frame, &mut self.buffer);
        let head = Head::read(&self.buffer[start..], frame).expect("it was written just now");
        self.entries.push(Entry::new(&head, frame.offset));
        self.rules.push((number, rule, frame.offset));
    }

    /// Where the next record begins.
    fn end(&self) -> u64 {
        self.length + self.buffer.len() as u64
    }

    /// Bytes of the segment if it were sealed now.
    fn sealed_length(&self) -> u64 {
        self.end() + self.entries.len() as u64 * ENTRY + TRAILER
    }
}

/// What a start has yet to go through, and what it has learned to be gone.
#[derive(Debug, Default)]
struct Finding {
    /// The newest last.
    segments: Vec<u32>,
    keys: BTreeSet<u64>,
    variants: BTreeSet<(u64, u32)>,
    all: bool,
}

impl Finding {
    fn learn(&mut self, kind: Kind, hash: u64, selecting: u32) {
        match kind {
            Kind::Object | Kind::Rule => {}
            Kind::VariantGone => drop(self.variants.insert((hash, selecting))),
            Kind::KeyGone => drop(self.keys.insert(hash)),
            Kind::AllGone => self.all = true,
        }
    }

    fn is_gone(&self, entry: &Entry) -> bool {
        self.all
            || self.keys.contains(&entry.hash)
            || self.variants.contains(&(entry.hash, entry.selecting))
    }
}

impl<S: Storage> Log<S> {
    /// Opens the log that lies in `storage`, or begins one. Reads a list and a header; what there is
    /// is found by [`Self::find_more`], purge rules for `purges` among it. `rng` must be secret, and another one at each start.
    ///
    /// # Errors
    /// If the list cannot be had.
    pub fn open(
        mut storage: S,
        settings: Settings,
        purges: Arc<Purges>,
        mut rng: Rng,
    ) -> Result<Self, DiskError> {
        let mut found = storage.list()?;
        found.sort_unstable();
        // The hashes of the newest segment that can be read count.
        let newest = found.iter().rev().find_map(|&(number, _)| {
            Header::read(&mut storage, number).ok().flatten().map(|header| header.seed)
        });
        let seed = newest.unwrap_or_else(|| rng.next_u64());
        let next = found.last().map_or(1, |&(number, _)| number + 1);
        let segments: Vec<u32> = found.iter().map(|&(number, _)| number).collect();
        let written =
            found.into_iter().map(|(number, length)| Written { number, length }).collect();
        let finding = Some(Finding { segments, ..Finding::default() });
        let statistics = Statistics::default();
        let index = Arc::new(Index::new(seed));
        Ok(Self {
            storage,
            index,
            settings,
            rng,
            written,
            active: None,
            leaving: VecDeque::new(),
            next,
            finding,
            owed: Vec::new(),
            owed_rules: Vec::new(),
            purges,
            statistics,
        })
    }

    /// Where what it holds can be looked up.
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// What it has done and holds.
    pub fn statistics(&self) -> Statistics {
        let unread = self.finding.as_ref().map_or(0, |finding| finding.segments.len()) as u64;
        Statistics { used: self.held(), unread, ..self.statistics }
    }

    /// The files, for those who read records as a disk would.
    pub(super) const fn storage(&mut self) -> &mut S {
        &mut self.storage
    }

    /// The files, without the log.
    pub(super) fn into_storage(self) -> S {
        self.storage
    }

    fn held(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, Active::end);
        self.leaving.iter().chain(&self.written).map(|it| it.length).sum::<u64>() + active
    }

    /// Goes through one more segment of those that were there at the start, the newest of them;
    /// false if there is none left.
    pub fn find_more(&mut self) -> bool {
        let Some(mut finding) = self.finding.take() else { return false };
        let Some(number) = finding.segments.pop() else { return false };
        let known = self.written.iter().find(|it| it.number == number).copied();
        if let Some(Written { length, .. }) = known {
            let entries = match self.entries(number, length) {
                // Everything before is gone, or these are another log's.
                _ if finding.all => None,
                Ok(entries) => entries,
                // It cannot be read now; perhaps after the next start.
                Err(_) => Some(Vec::new()),
            };
            match entries {
                Some(entries) => {
                    for entry in entries.iter().rev() {
                        match entry.kind {
                            Kind::Object if finding.is_gone(entry) => {}
                            Kind::Object => self.index.insert_older(number, entry),
                            Kind::Rule => self.find_rule(number, entry),
                            kind => finding.learn(kind, entry.hash, entry.selecting),
                        }
                    }
                }
                None => {
                    self.written.retain(|it| it.number != number);
                    self.let_go(Written { number, length }, false);
                }
            }
        }
        self.finding = Some(finding);
        true
    }

    fn find_rule(&mut self, number: u32, entry: &Entry) {
        let Some(salt) = self.index.salt(number) else { return };
        let read = self.storage.read_at(number, entry.start(), entry.bytes());
        let frame = Frame { salt, offset: entry.start() };
        // A rule that cannot be read any more may have been about anything.
        let unknown = || Rule { what: What::All, soft: false, at: Wall::default() };
        let rule = read.ok().and_then(|bytes| record::read_rule(&bytes, frame));
        self.purges.found(rule.unwrap_or_else(unknown), (number, entry.start()));
    }

    /// The entries of a segment that is written; `None` if it is none of this log.
    fn entries(&mut self, number: u32, length: u64) -> Result<Option<Vec<Entry>>, DiskError> {
        let header = Header::read(&mut self.storage, number)?;
        let Some(Header { salt, .. }) = header.filter(|it| it.seed == self.index.seed()) else {
            return Ok(None);
        };
        let entries = segment::entries(&mut self.storage, number, length, salt)?;
        self.index.open(number, salt);
        Ok(Some(entries))
    }

    /// Writes an object, soon; false if it is too long for this log, or holds only parts.
    ///
    /// # Errors
    /// If the disk fails. The segment is given up then, and the object with it; call again after a
    /// while.
    pub fn append(&mut self, object: &Object) -> Result<bool, DiskError> {
        let Some(length) = record::length_of(object).filter(|&it| it <= self.settings.record_max())
        else {
            return Ok(false);
        };
        let hash = self.index.hash(object.key());
        if let Err(error) = self.make_room_for(length) {
            self.lost(hash, record::selecting_hash(object.selecting()));
            return Err(error);
        }
        self.statistics.written += 1;
        // What it replaces is not found any more, though it is not written yet.
        self.index.remove(hash, Some(record::selecting_hash(object.selecting())));
        self.add(|frame, out| record::write(object, hash, frame, out))?;
        Ok(true)
    }

    /// Removes all variants of a key, those not yet found included.
    ///
    /// # Errors
    /// If the disk fails: it is forgotten now, and could be found again after a restart.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), DiskError> {
        let hash = self.index.hash(key);
        self.gone(Kind::KeyGone, hash, 0)
    }

    /// Removes the variant of a key that has these selecting values.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn remove_variant(&mut self, key: &[u8], selecting: &[u8]) -> Result<(), DiskError> {
        let hash = self.index.hash(key);
        self.gone(Kind::VariantGone, hash, record::selecting_hash(selecting))
    }

    /// Removes everything.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub fn remove_all(&mut self) -> Result<(), DiskError> {
        self.gone(Kind::AllGone, 0, 0)
    }

    /// Writes a purge rule; it survives a power cut when this returns.
    ///
    /// # Errors
    /// If the disk fails. It is in effect, and written when the disk can be; until then it could be
    /// forgotten by a restart.
    pub fn purge(&mut self, number: u32, rule: Rule) -> Result<(), DiskError> {
        let length = (HEAD + rule.to_bytes().len()).next_multiple_of(ALIGN) as u64;
        if let Err(error) = self.make_room_for(length) {
            self.owe_rule(number, rule);
            return Err(error);
        }
        let active = self.active.as_mut().expect("room was made");
        active.add_rule(number, rule);
        self.sync()
    }

    /// Makes durable what has been written, without ending the segment.
    ///
    /// # Errors
    /// If the disk fails; the segment is given up then.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        self.flush()?;
        let Some(active) = &mut self.active else { return Ok(()) };
        let synced = self.storage.sync(active.number).and_then(|()| self.storage.sync_directory());
        if let Err(error) = synced {
            active.published = 0;
            return Err(self.give_up(error));
        }
        Ok(())
    }

    fn owe_rule(&mut self, number: u32, rule: Rule) {
        if self.owed_rules.len() >= OWED_RULES_MAX {
            let at = rule.at;
            self.owed_rules.clear();
            self.owed_rules.push((number, Rule { what: What::All, soft: false, at }));
            return;
        }
        self.owed_rules.push((number, rule));
    }

    fn gone(&mut self, kind: Kind, hash: u64, selecting: u32) -> Result<(), DiskError> {
        let variant = (kind == Kind::VariantGone).then_some(selecting);
        let mut known = match kind {
            Kind::AllGone => {
                self.index.clear();
                true
            }
            _ => self.index.remove(hash, variant),
        };
        if let Some(finding) = &mut self.finding {
            finding.learn(kind, hash, selecting);
            known |= !finding.segments.is_empty();
        }
        // What has not reached the file must not come into the index afterwards.
        if let Some(active) = &mut self.active {
            for entry in &mut active.entries[active.published..] {
                let same = entry.hash == hash && variant.is_none_or(|it| entry.selecting == it);
                if entry.kind == Kind::Object && (kind == Kind::AllGone || same) {
                    entry.kind = kind;
                    known = true;
                }
            }
        }
        if !known {
            return Ok(());
        }
        if let Err(error) = self.make_room_for(HEAD as u64) {
            self.owe(kind, hash, selecting);
            return Err(error);
        }
        self.add(|frame, out| record::write_gone(kind, hash, selecting, frame, out))
    }

    /// An object did not reach the disk: what it would have replaced there is outdated.
    fn lost(&mut self, hash: u64, selecting: u32) {
        self.statistics.lost += 1;
        self.index.remove(hash, Some(selecting));
        self.owe(Kind::VariantGone, hash, selecting);
    }

    fn owe(&mut self, kind: Kind, hash: u64, selecting: u32) {
        if self.owed.len() >= OWED_MAX {
            self.owed.clear();
            self.index.clear();
            self.owed.push((Kind::AllGone, 0, 0));
        }
        if let Some(finding) = &mut self.finding {
            finding.learn(kind, hash, selecting);
        }
        self.owed.push((kind, hash, selecting));
    }

    /// Adds a record to the active segment, which has room for it.
    fn add(&mut self, write: impl FnOnce(Frame, &mut Vec<u8>)) -> Result<(), DiskError> {
        let active = self.active.as_mut().expect("room was made");
        let frame = Frame { salt: active.salt, offset: active.end() };
        let start = active.buffer.len();
        write(frame, &mut active.buffer);
        let head = Head::read(&active.buffer[start..], frame).expect("it was written just now");
        active.entries.push(Entry::new(&head, frame.offset));
        if active.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    /// Sees to it that there is an active segment with room for a record of `length` bytes.
    fn make_room_for(&mut self, length: u64) -> Result<(), DiskError> {
        let fits =
            |active: &Active, segment: u64| active.sealed_length() + length + ENTRY <= segment;
        if self.active.as_ref().is_some_and(|active| fits(active, self.settings.segment)) {
            return Ok(());
        }
        self.seal()?;
        if !self.leaving.is_empty() {
            self.remove_leaving().inspect_err(|_| self.statistics.failed += 1)?;
        }
        self.begin();
        while self.held() + self.settings.segment > self.settings.size && !self.written.is_empty() {
            self.evict()?;
        }
        Ok(())
    }

    fn begin(&mut self) {
        let (number, salt) = (self.next, self.rng.next_u64());
        self.next += 1;
        let mut buffer = Vec::with_capacity(BUFFER);
        Header { salt, seed: self.index.seed() }.write(number, &mut buffer);
        let mut entries = Vec::new();
        // They fit: a segment has room for some records of the greatest length, and these are short;
        // what does not fit waits for the next.
        let fitting = self.settings.segment / 2 / (HEAD as u64 + ENTRY);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX).min(self.owed.len());
        for (kind, hash, selecting) in self.owed.drain(..fitting) {
            let frame = Frame { salt, offset: buffer.len() as u64 };
            let start = buffer.len();
            record::write_gone(kind, hash, selecting, frame, &mut buffer);
            let head = Head::read(&buffer[start..], frame).expect("it was written just now");
            entries.push(Entry::new(&head, frame.offset));
        }
        let rules = Vec::new();
        let mut active = Active { number, salt, length: 0, buffer, entries, published: 0, rules };
        for (number, rule) in self.owed_rules.drain(..) {
            active.add_rule(number, rule);
        }
        self.active = Some(active);
    }

    /// Writes what has been gathered: from then on it is found, and survives the end of the process.
    ///
    /// # Errors
    /// If the disk fails; the segment is given up then.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.buffer.is_empty() {
            return Ok(());
        }
        let wrote = self.storage.write_at(active.number, active.length, &active.buffer);
        if let Err(error) = wrote {
            return Err(self.give_up(error));
        }
        active.length = active.end();
        active.buffer.clear();
        self.index.open(active.number, active.salt);
        for entry in &active.entries[active.published..] {
            if entry.kind == Kind::Object {
                self.index.insert(active.number, entry);
            }
        }
        active.published = active.entries.len();
        for (number, _, offset) in &active.rules {
            self.purges.written(*number, (active.number, *offset));
        }
        Ok(())
    }

    /// Ends the active segment: what it holds survives a power cut.
    ///
    /// # Errors
    /// If the disk fails; the segment is given up then.
    pub fn seal(&mut self) -> Result<(), DiskError> {
        self.flush()?;
        let Some(active) = &mut self.active else { return Ok(()) };
        segment::write_end(&active.entries, active.salt, &mut active.buffer);
        let (number, length) = (active.number, active.end());
        let sealed = self
            .storage
            .write_at(number, active.length, &active.buffer)
            .and_then(|()| self.storage.sync(number))
            .and_then(|()| self.storage.sync_directory());
        if let Err(error) = sealed {
            // A sync that failed may have forgotten all that it was to write.
            active.published = 0;
            return Err(self.give_up(error));
        }
        self.active = None;
        self.written.push_back(Written { number, length });
        Ok(())
    }

    /// Adds nothing more to a segment that cannot be written. What has reached its file stays.
    fn give_up(&mut self, error: DiskError) -> DiskError {
        self.statistics.failed += 1;
        if let Some(active) = self.active.take() {
            let length = active.sealed_length();
            for entry in &active.entries[active.published..] {
                match entry.kind {
                    Kind::Rule => {}
                    Kind::Object => self.lost(entry.hash, entry.selecting),
                    kind => self.owe(kind, entry.hash, entry.selecting),
                }
            }
            // They stood in a segment of which nobody knows how much is durable.
            for (number, rule, _) in active.rules {
                self.owe_rule(number, rule);
            }
            // A write that failed may have reached the file in part.
            let segment = Written { number: active.number, length };
            if active.published > 0 {
                self.written.push_back(segment);
            } else {
                self.let_go(segment, false);
            }
        }
        if error == DiskError::Full && !self.written.is_empty() {
            // Somebody else needs the room.
            let _ = self.evict();
        }
        error
    }

    /// Lets the oldest segment go; what was asked for since it was written is written again.
    fn evict(&mut self) -> Result<(), DiskError> {
        let Some(Written { number, length }) = self.written.pop_front() else { return Ok(()) };
        let entries = self.entries(number, length);
        let everywhere = entries.is_err();
        let mut left = self.settings.segment / AGAIN_PART;
        for entry in entries.ok().flatten().unwrap_or_default() {
            if entry.kind != Kind::Object {
                continue;
            }
            let Some(hits) = self.index.hits(number, &entry) else { continue };
            let length = entry.bytes() as u64 + ENTRY;
            if hits > 0 && length <= left && self.write_again(number, &entry) {
                left -= length;
                self.statistics.rewritten += 1;
                self.statistics.written += 1;
            } else {
                self.index.take(entry.hash, number, entry.offset);
                self.statistics.evicted += 1;
            }
        }
        // Until what was written again stands in the index, the old place is read.
        let flushed = self.flush();
        self.let_go(Written { number, length }, everywhere);
        flushed
    }

    /// Copies a record to the active segment; false if it cannot be read, or there is none.
    fn write_again(&mut self, number: u32, entry: &Entry) -> bool {
        let Some(active) = &mut self.active else { return false };
        let Some(salt) = self.index.salt(number) else { return false };
        let from = Frame { salt, offset: entry.start() };
        let to = Frame { salt: active.salt, offset: active.end() };
        let Ok(bytes) = self.storage.read_at(number, from.offset, entry.bytes()) else {
            return false;
        };
        let bytes = Bytes::from(bytes);
        // Its new place lies behind the rules that concern it.
        let purged = Record::read(bytes.clone(), from).is_none_or(|record| {
            let mark = (number, from.offset);
            self.purges.judge_record(mark, record.key(), &record.fields()) != Verdict::Keep
        });
        if purged || !record::write_again(&bytes, from, to, &mut active.buffer) {
            return false;
        }
        let head = Head::read(&active.buffer[active.buffer.len() - bytes.len()..], to);
        active.entries.push(Entry::new(&head.expect("it was written just now"), to.offset));
        true
    }

    /// Removes a segment that is in no list any more, after those that wait for it.
    fn let_go(&mut self, segment: Written, everywhere: bool) {
        self.index.close(segment.number, everywhere);
        let place = self.leaving.partition_point(|it| it.number < segment.number);
        self.leaving.insert(place, segment);
        let removed = self.remove_leaving();
        self.statistics.failed += u64::from(removed.is_err());
    }

    fn remove_leaving(&mut self) -> Result<(), DiskError> {
        while let Some(&Written { number, .. }) = self.leaving.front() {
            match self.storage.remove(number) {
                Ok(()) | Err(DiskError::Absent) => self.leaving.pop_front(),
                Err(error) => return Err(error),
            };
        }
        self.storage.sync_directory()
    }
}
