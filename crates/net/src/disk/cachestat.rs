//! What of a file the kernel has in memory: `cachestat(2)`, of Linux 6.5.
//!
//! A read with `RWF_NOWAIT` tells as much, and more: where it finds nothing, it has the kernel read.

#![expect(unsafe_code, reason = "no library has this call")]

use std::{fs::File, os::fd::AsRawFd};

/// The call's number, the same on every architecture that Rust's standard library runs on.
const CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range`.
#[repr(C)]
struct Part {
    offset: u64,
    length: u64,
}

/// `struct cachestat`, in pages.
#[repr(C)]
#[derive(Default)]
struct Pages {
    cached: u64,
    dirty: u64,
    in_writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether all of a part of `file` is in memory; `None` if the kernel has no such call, or forbids it.
///
/// # Panics
/// If `length` is zero.
pub(super) fn is_cached(file: &File, offset: u64, length: usize) -> Option<bool> {
    assert!(length > 0, "to the call, no bytes are all of them");
    let part = Part { offset, length: length as u64 };
    let mut pages = Pages::default();
    let no_flags: libc::c_uint = 0;
    // SAFETY: both structures are laid out as the kernel's and live through the call, which reads the one
    // and writes the other; the descriptor is open as long as `file` is.
    let result = unsafe {
        libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const part, &raw mut pages, no_flags)
    };
    let page = rustix::param::page_size() as u64;
    let touched = (offset + part.length).div_ceil(page) - offset / page;
    (result == 0).then_some(pages.cached >= touched)
}
