//! The disk store on real files.

use nigh_cache::disk::Storage;

use super::*;

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
