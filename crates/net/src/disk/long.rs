//! Long buffers, in huge pages: what the device reads into.
//!
//! A read past the page cache pins every page that it fills and hands the device each by itself: for a
//! megabyte 257 pages, or one huge page. Whoever checks and sends it then finds it by one entry of the
//! processor's page tables too.
//!
//! An edge has huge pages turned off for its whole process, which holds for memory that asks for them as
//! well. They cannot be left on for those who ask, since the allocator asks too, for all that it has. So
//! they are on for as long as it takes to touch a buffer for the first time, and what is huge then stays
//! so.

use std::io;

use memmap2::{Advice, MmapMut};
use parking_lot::Mutex;
use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};
use tracing::debug;

use super::buffers::{LONG, SLACK};

/// Long buffers of all threads together, 32 MiB: however many clients are slow, each of the further ones
/// holds one piece of 128 KiB.
pub(super) const LONG_MAX: usize = 32;

/// Bytes of one, and of all that are reserved for them.
const BYTES: usize = LONG + SLACK;
const RESERVED: usize = LONG_MAX * BYTES;

/// Bytes of a huge page on most machines. Where it has others, the ends of what is reserved may lie in
/// small pages, or all of it.
const HUGE: usize = 2 * 1024 * 1024;
/// Bytes of the smallest page there is.
const PAGE: usize = 4096;

/// Those of the process.
pub(super) static KEPT: Mutex<Kept> = Mutex::new(Kept::new());

/// Long buffers that nobody holds. What was used once is never given back to the kernel: it would have to
/// be cleared again, two megabytes at a time.
pub(super) struct Kept {
    used: Vec<&'static mut [u8]>,
    /// The rest of what is reserved for them, once one was asked for.
    fresh: Option<&'static mut [u8]>,
}

impl Kept {
    const fn new() -> Self {
        Self { used: Vec::new(), fresh: None }
    }

    /// Whether there may be one to [take](Self::take).
    pub(super) fn has_one(&self) -> bool {
        !self.used.is_empty() || self.fresh.as_ref().is_none_or(|fresh| !fresh.is_empty())
    }

    /// The one that was used last, with whatever was in it, or a fresh one; `None` if all are held, or if
    /// the kernel has no room for any. A fresh one takes the time in which a huge page is cleared.
    pub(super) fn take(&mut self) -> Option<&'static mut [u8]> {
        self.used.pop().or_else(|| {
            let fresh = self.fresh.get_or_insert_with(|| {
                reserve().unwrap_or_else(|error| {
                    debug!(%error, "the disk store has no long buffers");
                    &mut []
                })
            });
            let taken = fresh.split_off_mut(..BYTES)?;
            touch(taken);
            Some(taken)
        })
    }

    /// Keeps one that was [taken](Self::take).
    pub(super) fn give(&mut self, bytes: &'static mut [u8]) {
        self.used.push(bytes);
    }
}

/// Zeroes for the life of the process, from a huge page's beginning on. They take memory once they are
/// [touched](touch).
fn reserve() -> io::Result<&'static mut [u8]> {
    let map = MmapMut::map_anon(HUGE + RESERVED.next_multiple_of(HUGE))?;
    // Small pages do as well, if more slowly: some kernels have no huge ones.
    if let Err(error) = map.advise(Advice::HugePage) {
        debug!(%error, "the disk store's buffers lie in small pages");
    }
    let bytes: &'static mut MmapMut = Box::leak(Box::new(map));
    let start = bytes.as_ptr().align_offset(HUGE);
    Ok(&mut bytes[start..][..RESERVED])
}

/// Has the kernel put memory behind `bytes`, in huge pages even if the process has them turned off: they
/// are on for that long. Two threads must not do so at once, hence the lock.
fn touch(bytes: &mut [u8]) {
    let were_off = transparent_huge_pages_are_disabled().unwrap_or(false);
    let is_on = were_off && disable_transparent_huge_pages(false).is_ok();
    bytes.iter_mut().step_by(PAGE).for_each(|byte| *byte = 0);
    if is_on && let Err(error) = disable_transparent_huge_pages(true) {
        debug!(%error, "huge pages stay on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes in huge pages of the mapping in which `bytes` lie.
    fn huge(bytes: &[u8]) -> usize {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let address = bytes.as_ptr().addr();
        let is_its_first_line = |line: &str| {
            let ends = line.split(' ').next().and_then(|ends| ends.split_once('-'));
            let ends =
                ends.map(|(start, end)| [start, end].map(|at| usize::from_str_radix(at, 16)));
            matches!(ends, Some([Ok(start), Ok(end)]) if (start..end).contains(&address))
        };
        let mut lines = maps.lines().skip_while(|line| !is_its_first_line(line));
        let count = lines.find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
        count.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    #[test]
    fn a_fresh_one_is_zero_in_huge_pages_if_there_are_any_and_they_are_off_again() {
        // No other test's buffer is touched meanwhile.
        let _alone = KEPT.lock();
        let gained = [true, false].map(|off| {
            disable_transparent_huge_pages(off).unwrap();
            let mut kept = Kept::new();
            let first = kept.take().unwrap();
            assert_eq!((first.as_ptr().align_offset(HUGE), first.len()), (0, BYTES));
            let before = huge(first);
            let second = kept.take().unwrap();
            assert!(second.iter().all(|byte| *byte == 0));
            assert_eq!(transparent_huge_pages_are_disabled().unwrap(), off);
            huge(first) - before
        });
        // The kernel gives some, or it gives none to a process that has them on either.
        assert!(gained[0] >= HUGE || gained[1] == 0, "{gained:?}");
    }

    #[test]
    fn one_that_was_given_back_is_taken_again_before_a_fresh_one() {
        let _alone = KEPT.lock();
        let mut kept = Kept::new();
        let first = kept.take().unwrap();
        let place = first.as_ptr();
        kept.give(first);
        let again = kept.take().unwrap();
        assert_eq!(again.as_ptr(), place);
        assert_ne!(kept.take().unwrap().as_ptr(), place);
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let _alone = KEPT.lock();
        let mut kept = Kept { used: Vec::new(), fresh: Some(reserve().unwrap()) };
        let taken: Vec<_> = std::iter::from_fn(|| kept.take()).take(2 * LONG_MAX).collect();
        assert_eq!((taken.len(), kept.has_one()), (LONG_MAX, false));
        let mut none = Kept { used: Vec::new(), fresh: Some(&mut []) };
        assert_eq!((none.has_one(), none.take()), (false, None));
    }
}
