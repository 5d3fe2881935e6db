//! How far an edge has come with the purges of its cluster, beside its disk store: a small file that
//! says up to which purge all are durable there. Lost or damaged, it is 0: then all purges that are
//! known are applied again, or everything is forgotten, and nothing that was purged comes back.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use nigh_cluster::control::Revision;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// The file, in the directory of the disk store.
const NAME: &str = "purges";

/// Where it is written before it takes the other's place.
const NEW: &str = "purges.new";

/// Bytes of the file that are read: a name and a number.
const LENGTH_MAX: u64 = 4096;

/// What the file says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    /// Whose purges they are.
    cluster: String,
    reached: u64,
    /// The commit that made that purge; files of earlier versions do not have it.
    #[serde(default)]
    at: u64,
}

/// How far an edge has come.
#[derive(Debug)]
pub(super) struct Progress {
    cluster: String,
    /// None where nothing outlives the process.
    folder: Option<PathBuf>,
}

impl Progress {
    /// Of an edge in `cluster`, whose disk store is in `folder` if it has one.
    pub(super) fn new(cluster: &str, folder: Option<&Path>) -> Self {
        Self { cluster: cluster.to_owned(), folder: folder.map(Path::to_owned) }
    }

    /// The purge up to which all are durable, and the commit that made it, as the file has them; 0 if
    /// nothing is known.
    pub(super) fn read(&self) -> (u64, Revision) {
        let nothing = (0, Revision::NONE);
        let Some(folder) = &self.folder else { return nothing };
        match read(&folder.join(NAME)) {
            Ok(Some(said)) if said.cluster == self.cluster => (said.reached, Revision(said.at)),
            Ok(_) => nothing,
            Err(error) => {
                let path = folder.join(NAME);
                warn!(%error, "{} is not readable: all purges are applied again", path.display());
                nothing
            }
        }
    }

    /// All purges up to `reached` are durable, which the commit `at` made. Waits for the disk, apart from
    /// the runtime.
    pub(super) async fn write(&self, reached: u64, at: Revision) -> io::Result<()> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let said = Said { cluster: self.cluster.clone(), reached, at: at.0 };
        let writing = tokio::task::spawn_blocking(move || write(&folder, &said));
        writing.await.map_err(io::Error::other)?
    }
}

fn read(path: &Path) -> io::Result<Option<Said>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(LENGTH_MAX).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// After this, whatever happens, the file says either this or what it said before.
fn write(folder: &Path, said: &Said) -> io::Result<()> {
    let new = folder.join(NEW);
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(said)?)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("nigh-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn progress(&self, cluster: &str) -> Progress {
            Progress::new(cluster, Some(&self.0))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_written_is_there_for_the_next_process_of_this_cluster() {
        let folder = Folder::new("progress");
        assert_eq!(folder.progress("eu").read(), (0, Revision::NONE));
        for (reached, at) in [(7, Revision(20)), (u64::MAX, Revision(u64::MAX)), (3, Revision(5))] {
            folder.progress("eu").write(reached, at).await.unwrap();
            assert_eq!(folder.progress("eu").read(), (reached, at));
        }
        // The numbers of another cluster say nothing.
        assert_eq!(folder.progress("us").read(), (0, Revision::NONE));
        // An earlier version did not say by which commit.
        fs::write(folder.0.join(NAME), br#"{"cluster":"eu","reached":4}"#).unwrap();
        assert_eq!(folder.progress("eu").read(), (4, Revision::NONE));
    }

    #[tokio::test]
    async fn a_damaged_file_is_as_if_nothing_had_been_applied() {
        let folder = Folder::new("damaged-progress");
        let progress = folder.progress("eu");
        progress.write(12, Revision(40)).await.unwrap();
        let whole = fs::read(folder.0.join(NAME)).unwrap();
        for length in 0..whole.len() {
            fs::write(folder.0.join(NAME), &whole[..length]).unwrap();
            assert_eq!(progress.read(), (0, Revision::NONE), "{length} bytes");
        }
        // One that was cut short while it was written changes nothing.
        fs::write(folder.0.join(NAME), &whole).unwrap();
        fs::write(folder.0.join(NEW), b"{\"clu").unwrap();
        assert_eq!(progress.read(), (12, Revision(40)));
    }

    #[tokio::test]
    async fn without_a_disk_nothing_is_known_of_before() {
        let progress = Progress::new("eu", None);
        progress.write(7, Revision(9)).await.unwrap();
        assert_eq!(progress.read(), (0, Revision::NONE));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_an_error() {
        let folder = Folder::new("no-progress");
        let gone = folder.0.join("gone");
        assert!(Progress::new("eu", Some(&gone)).write(7, Revision(9)).await.is_err());
    }
}
