//! The disk store on real files.

use nigh_cache::disk::Storage;

use super::{buffers::Buffer, *};

#[test]
fn segments_are_files_that_are_found_by_name_and_everything_else_is_left_alone() {
    let path = std::env::temp_dir().join(format!("nigh-files-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    let mut files = Files::open(&path).unwrap();
    assert_eq!(files.read_at(7, 0, 4), Err(DiskError::Absent));
    files.write_at(7, 2, b"cdef").unwrap();
    files.write_at(7, 0, b"ab").unwrap();
    files.sync(7).unwrap();
    files.sync_directory().unwrap();
    assert_eq!(files.list(), Ok(vec![(7, 6)]));
    assert_eq!(files.read_at(7, 1, 100).unwrap(), b"bcdef");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(files.read(7, 1, 3)).unwrap(), b"bcd");
    // Behind the end there is nothing, however it is read.
    assert!(runtime.block_on(files.read(7, 5, 3)).is_err());
    files.remove(7).unwrap();
    assert_eq!(files.list(), Ok(vec![]));
    assert_eq!(std::fs::read_to_string(path.join("notes.txt")).unwrap(), "mine");
    std::fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_part_of_a_file_is_the_same_past_the_page_cache_wherever_it_lies() {
    let path = std::env::temp_dir().join(format!("nigh-direct-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    std::fs::create_dir_all(&path).unwrap();
    let mut files = Files::open(&path).unwrap();
    let bytes: Vec<u8> = (0..300_007_u32).map(|at| (at * 31 % 251) as u8).collect();
    files.write_at(1, 0, &bytes).unwrap();
    let segment = files.segment(1, false).unwrap();
    // What was written is in memory; that it is not, is what sends a reader to the device.
    assert_ne!(segment.is_cached(8, 200_000), Some(false));
    assert_ne!(segment.is_cached(1 << 30, 1), Some(true));
    for (offset, length) in [(0, 1), (8, 4096), (4095, 2), (131_080, 131_072), (300_000, 7)] {
        let mut buffer = Buffer::take(offset as u64, length);
        segment.read_direct(&mut buffer, offset as u64).unwrap();
        assert_eq!(*buffer, bytes[offset..offset + length], "{length} from {offset}");
    }
    let mut behind = Buffer::take(300_000, 8);
    assert!(segment.read_direct(&mut behind, 300_000).is_err());
    std::fs::remove_dir_all(path).unwrap();
}
