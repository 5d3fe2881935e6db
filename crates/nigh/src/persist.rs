//! A file exchanged as a whole: whoever reads it, at whatever moment, finds the old one or the new.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

/// Writes `text` in place of what is in `file`, durably. A link is followed; owner and permissions stay.
///
/// # Errors
/// If the file's folder cannot be written, or its owner not be kept; the file is as it was then.
pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    let file = fs::canonicalize(file)?;
    let held = fs::metadata(&file)?;
    let mode = held.permissions().mode() & 0o7777;
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidFilename));
    };
    let beside = format!(".{}.{}.new", name.to_string_lossy(), std::process::id());
    let beside = folder.join(beside);
    let put = || {
        // One that a crash has left behind is nobody's.
        let mut options = OpenOptions::new();
        let mut new = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        // Whoever kept the file up keeps it.
        fchown(&new, Some(held.uid()), Some(held.gid()))?;
        new.set_permissions(Permissions::from_mode(mode))?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, &file)
    };
    put().inspect_err(|_| drop(fs::remove_file(&beside)))?;
    // Only then is the new name itself durable.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_exchanged_through_a_link_and_keeps_its_permissions() {
        let folder = std::env::temp_dir().join(format!("nigh-persist-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link) = (folder.join("real.toml"), folder.join("link.toml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left beside it");
        assert!(write(&folder.join("none.toml"), "x").is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
