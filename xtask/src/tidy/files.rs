//! The text files of the checkout: all but what `.gitignore` names and what is not text.

use std::fs;
use std::path::Path;

use crate::command::Failure;

/// A file that a person reads.
#[derive(Debug)]
pub(super) struct File {
    /// From the root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(super) fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }
}

/// Reads every text file under `root`, in the order of their names.
///
/// Folders are walked, rather than git asked, so that the rules hold in an unpacked archive too.
pub(super) fn all(root: &Path) -> Result<Vec<File>, Failure> {
    let mut ignored = vec![".git".to_owned()];
    if let Ok(text) = fs::read_to_string(root.join(".gitignore")) {
        let anchored = text.lines().filter_map(|line| line.trim_end().strip_prefix('/'));
        ignored.extend(anchored.map(|path| path.trim_end_matches('/').to_owned()));
    }
    let mut files = Vec::new();
    walk(root, "", &ignored, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(
    folder: &Path,
    prefix: &str,
    ignored: &[String],
    files: &mut Vec<File>,
) -> Result<(), Failure> {
    let cannot = |error| Failure::Found(format!("cannot read {}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if ignored.contains(&path) {
            continue;
        }
        let kind = entry.file_type().map_err(cannot)?;
        if kind.is_dir() {
            walk(&entry.path(), &format!("{path}/"), ignored, files)?;
        } else if kind.is_file() {
            // Pictures and what fuzzers keep are not UTF-8, or hold a NUL.
            let bytes = fs::read(entry.path()).map_err(cannot)?;
            if let Ok(text) = String::from_utf8(bytes)
                && !text.contains('\0')
            {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}
