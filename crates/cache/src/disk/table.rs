//! A hash table that grows piece by piece: extendible hashing (Fagin, Nievergelt, Pippenger, Strong:
//! "Extendible Hashing - A Fast Access Method for Dynamic Files", TODS 1979).
//!
//! A table that doubles moves everything at once while others wait for its lock, is half empty
//! afterwards, and leaves a hole in memory that nothing larger fits into; and one whose entries come
//! and go doubles over the places of those that went. Here a full piece is divided in two, or made
//! anew when it is full of such places: an insertion moves at most one piece, and all pieces are of
//! one size, so that what one leaves behind is the next one's.

use hashbrown::HashTable;

/// Buckets of a piece, all but an eighth of which can be taken; a table's first begins smaller.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 10;
/// A piece whose entries take fewer of its buckets than this, and which is full nonetheless, is made
/// anew instead of divided.
const DIVIDED_FROM: usize = BUCKETS * 3 / 4;
/// Bits of a hash that tell pieces apart: those above the ones that choose a bucket. Pieces that have
/// all of them in common are no longer divided, but double.
const DEPTH_MAX: u32 = 30;

/// What says its own hash.
pub(super) trait Hashed {
    /// Always the same one.
    fn hash(&self) -> u64;
}

#[derive(Debug)]
struct Piece<T> {
    entries: HashTable<T>,
    /// So many bits are the same in the hashes of all entries.
    depth: u32,
}

/// The table. What is looked for, changed and removed, is so in the piece [`Table::of`] a hash.
#[derive(Debug)]
pub(super) struct Table<T> {
    pieces: Vec<Piece<T>>,
    /// The number of the piece for each value of the lowest bits after a bucket's: a power of two.
    directory: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        let pieces = vec![Piece { entries: HashTable::new(), depth: 0 }];
        Self { pieces, directory: vec![0] }
    }
}

impl<T: Hashed> Table<T> {
    /// The entries among which those with this hash are.
    pub(super) fn of(&self, hash: u64) -> &HashTable<T> {
        &self.pieces[self.piece(hash)].entries
    }

    /// The same, to be changed; for [`Table::insert`] it is not meant.
    pub(super) fn of_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        let piece = self.piece(hash);
        &mut self.pieces[piece].entries
    }

    fn piece(&self, hash: u64) -> usize {
        self.directory[class(hash) & (self.directory.len() - 1)] as usize
    }

    /// Takes an entry in beside all others. Moves a piece's entries at most, but for one in some
    /// thousands when the directory doubles: four bytes for each piece.
    pub(super) fn insert(&mut self, entry: T) {
        let hash = entry.hash();
        loop {
            let number = self.piece(hash);
            let Piece { entries, depth } = &mut self.pieces[number];
            let full = entries.len() == entries.capacity() && entries.num_buckets() >= BUCKETS;
            if !full || *depth == DEPTH_MAX {
                entries.insert_unique(hash, entry, T::hash);
                return;
            }
            if entries.len() < DIVIDED_FROM {
                let old = std::mem::replace(entries, piece());
                old.into_iter().for_each(|entry| {
                    entries.insert_unique(entry.hash(), entry, T::hash);
                });
            } else {
                self.divide(number, hash);
            }
        }
    }

    /// Divides the piece of this hash.
    fn divide(&mut self, number: usize, hash: u64) {
        let Piece { entries, depth } = &mut self.pieces[number];
        let bit = 1 << *depth;
        *depth += 1;
        let depth = *depth;
        let old = std::mem::replace(entries, piece());
        let mut upper = piece();
        for entry in old {
            let half = if class(entry.hash()) & bit == 0 { &mut *entries } else { &mut upper };
            half.insert_unique(entry.hash(), entry, T::hash);
        }
        let new = u32::try_from(self.pieces.len()).expect("a piece has hundreds of entries");
        self.pieces.push(Piece { entries: upper, depth });
        if self.directory.len() == bit {
            self.directory.extend_from_within(..);
        }
        let first = class(hash) & (bit - 1) | bit;
        self.directory.iter_mut().skip(first).step_by(2 * bit).for_each(|it| *it = new);
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.entries.len()).sum()
    }

    /// Keeps those of which `keep` says so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.pieces.iter_mut().for_each(|piece| piece.entries.retain(|entry| keep(entry)));
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(super) fn allocated(&self) -> usize {
        let entries: usize = self.pieces.iter().map(|piece| piece.entries.allocation_size()).sum();
        entries
            + self.pieces.capacity() * size_of::<Piece<T>>()
            + self.directory.capacity() * size_of::<u32>()
    }
}

/// The bits that tell pieces apart.
fn class(hash: u64) -> usize {
    usize::try_from((hash >> BUCKET_BITS) % (1 << DEPTH_MAX)).expect("30 bits")
}

/// An empty piece of the usual size.
fn piece<T>() -> HashTable<T> {
    HashTable::with_capacity(BUCKETS * 7 / 8)
}
