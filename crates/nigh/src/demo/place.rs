//! Where a running demo is found: a directory with what it is made of, and a socket for orders.
//!
//! ```text
//! nigh-demo.lock   locked while a demo runs; where it is, a demo has made the rest
//! demo.json        who is there: names, addresses, process ids
//! orders           a socket: `kill eu-2` or `revive eu-2` in a line, and in a line what came of it
//! edges/           settings, certificates and logs of the edges
//! ```

use std::{
    env,
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use nigh_net::cluster::files::Directory;
use serde::{Deserialize, Serialize};

use super::clusters;

/// The names in the directory.
const LOCK: &str = "nigh-demo.lock";
const FILE: &str = "demo.json";
const ORDERS: &str = "orders";
const EDGES: &str = "edges";

/// What others have to know of a running demo.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Found {
    pub(crate) pid: u32,
    pub(crate) origin: SocketAddr,
    pub(crate) edges: Vec<FoundEdge>,
}

/// What others have to know of one of its edges.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct FoundEdge {
    pub(crate) name: String,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Its process, if it lives and has one of its own.
    pub(crate) pid: Option<u32>,
    pub(crate) lives: bool,
}

/// The directory of a demo. Dropped, what the demo has put there is removed.
#[derive(Debug)]
pub(super) struct Place {
    directory: Directory,
    /// Locked, so that the directory is this demo's alone for as long as it lives, however it ends.
    _lock: File,
}

impl Place {
    /// Takes the directory, or the user's own one for demos. It is made if it is missing, and has to be
    /// empty if no demo has made it.
    ///
    /// # Errors
    /// If another demo runs there, others may open it, or somebody else's files are there.
    pub(super) fn take(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = path_of(named)?;
        let unusable = || format!("cannot use the directory {}", path.display());
        let directory = Directory::make(&path).with_context(unusable)?;
        let metadata = fs::symlink_metadata(&path).with_context(unusable)?;
        ensure!(
            metadata.is_dir()
                && metadata.uid() == rustix::process::getuid().as_raw()
                && metadata.permissions().mode().trailing_zeros() >= 6,
            "{} has to be a directory that only its owner may open: name another one with --dir",
            path.display()
        );
        ensure!(
            directory.holds(LOCK) || fs::read_dir(&path).with_context(unusable)?.next().is_none(),
            "{} is not empty, and no demo has made what is there: name another directory with --dir",
            path.display()
        );
        let lock = locked(&directory.path_of(LOCK)).with_context(unusable)?;
        let lock = lock.with_context(|| {
            format!(
                "a demo runs in {}: end it, or name another directory with --dir",
                path.display()
            )
        })?;
        // From here on it is ours. One that was killed has left its files.
        let place = Self { directory, _lock: lock };
        place.clear();
        Ok(place)
    }

    /// Where orders come in.
    pub(super) fn orders(&self) -> PathBuf {
        self.directory.path_of(ORDERS)
    }

    /// Where the edges' files lie.
    pub(super) fn edges(&self) -> PathBuf {
        self.directory.path_of(EDGES)
    }

    /// Whether somebody who names no directory finds it.
    pub(super) fn is_usual(&self) -> bool {
        path_of(None).is_ok_and(|path| self.directory.path() == path)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Has others find this.
    pub(super) fn publish(&self, found: &Found) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(found)?;
        self.directory.write(FILE, &text).with_context(|| format!("cannot write {FILE}"))
    }

    /// Removes what a demo makes, and nothing else: a directory that holds more stays.
    fn clear(&self) {
        let edges = self.edges();
        for name in clusters::made() {
            let path = edges.join(name);
            // What is not there need not go.
            drop(fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)));
        }
        drop(fs::remove_dir(edges));
        drop(fs::remove_file(self.directory.path_of(FILE)));
        drop(fs::remove_file(self.orders()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        // The last thing: who finds it knows that the rest was a demo's.
        let left = fs::read_dir(self.path()).map_or(0, Iterator::count);
        if left <= 1 {
            drop(fs::remove_file(self.directory.path_of(LOCK)));
            drop(fs::remove_dir(self.path()));
        }
    }
}

/// Opens the file that is locked while a demo runs, and locks it; `None` if somebody else has.
fn locked(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    // Whoever had it until now may have removed it, and its directory, in between.
    let is_there = fs::metadata(path)
        .is_ok_and(|there| file.metadata().is_ok_and(|own| there.ino() == own.ino()));
    Ok(is_there.then_some(file))
}

/// The demo that runs, and where it takes orders.
///
/// # Errors
/// If none runs there.
pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<(Found, PathBuf)> {
    let directory = Directory::at(&path_of(named)?);
    let path = directory.path().display();
    let text = directory.read(FILE).with_context(|| format!("cannot read {path}/{FILE}"))?;
    let Some(text) = text else { bail!("no demo runs in {path}: `nigh demo` starts one") };
    let found = serde_json::from_str(&text).with_context(|| format!("{path}/{FILE} is damaged"))?;
    Ok((found, directory.path_of(ORDERS)))
}

/// The admin address of an edge of the demo that runs.
///
/// # Errors
/// If there is none of this name.
pub(crate) fn admin_of(name: &str) -> anyhow::Result<SocketAddr> {
    let told = || format!("`{name}` is no admin address, and no edge of a demo");
    let (found, _) = find(None).with_context(told)?;
    let edge = edge(&found, name).with_context(told)?;
    ensure!(edge.lives, "{name} does not live: `nigh revive {name}` starts it");
    Ok(edge.admin)
}

/// An edge by its name.
///
/// # Errors
/// If there is none of this name.
pub(crate) fn edge<'f>(found: &'f Found, name: &str) -> anyhow::Result<&'f FoundEdge> {
    let edge = found.edges.iter().find(|edge| edge.name == name);
    edge.with_context(|| {
        let names: Vec<&str> = found.edges.iter().map(|edge| edge.name.as_str()).collect();
        format!("the demo has no edge `{name}`, but {}", names.join(", "))
    })
}

/// The directory that was named, or one that this user alone has. It is absolute: paths in settings are
/// understood from where those lie.
fn path_of(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let runtime = || env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let path = match (named, runtime()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(folder)) => Path::new(&folder).join("nigh-demo"),
        (None, None) => {
            let user = rustix::process::getuid().as_raw();
            env::temp_dir().join(format!("nigh-demo-{user}"))
        }
    };
    std::path::absolute(&path).with_context(|| format!("{} is no path", path.display()))
}

/// Sends an order, and says what came of it.
///
/// # Errors
/// If nobody takes it, or it was refused.
pub(crate) fn order(orders: &Path, text: &str) -> anyhow::Result<String> {
    use std::io::{BufRead, BufReader, Write};
    let tell = || -> io::Result<String> {
        let mut stream = std::os::unix::net::UnixStream::connect(orders)?;
        writeln!(stream, "{text}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let line = tell().context("the demo takes no orders: did it end?")?;
    match line.strip_prefix("done ") {
        Some(done) => Ok(done.to_owned()),
        None => bail!("{}", line.strip_prefix("refused ").unwrap_or("the demo has ended")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = env::temp_dir().join(format!("nigh-place-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        path
    }

    #[test]
    fn a_demo_is_found_while_it_runs_and_leaves_nothing() {
        let path = folder("found");
        assert!(find(Some(&path)).is_err());
        let place = Place::take(Some(&path)).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let eu = FoundEdge {
            name: "eu-1".into(),
            http: address,
            admin: address,
            pid: None,
            lives: true,
        };
        place.publish(&Found { pid: 1, origin: address, edges: vec![eu] }).unwrap();
        fs::create_dir(place.edges()).unwrap();
        let (found, orders) = find(Some(&path)).unwrap();
        assert_eq!(edge(&found, "eu-1").unwrap().admin, address);
        let said = edge(&found, "eu-9").unwrap_err().to_string();
        assert_eq!(said, "the demo has no edge `eu-9`, but eu-1");
        assert!(order(&orders, "kill eu-1").unwrap_err().to_string().contains("did it end?"));
        drop(place);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_is_taken_once_and_by_its_owner_alone() {
        let path = folder("taken");
        let place = Place::take(Some(&path)).unwrap();
        let origin = "127.0.0.1:1".parse().unwrap();
        place.publish(&Found { pid: 1, origin, edges: Vec::new() }).unwrap();
        let said = Place::take(Some(&path)).unwrap_err().to_string();
        assert!(said.contains("a demo runs in"), "{said}");
        assert!(find(Some(&path)).is_ok(), "the one that runs goes on");
        drop(place);
        let open = folder("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let said = Place::take(Some(&open)).unwrap_err().to_string();
        assert!(said.contains("only its owner"), "{said}");
        fs::remove_dir(&open).unwrap();
    }

    #[test]
    fn a_directory_of_somebody_else_is_not_taken_and_nothing_there_is_touched() {
        let path = folder("other");
        Directory::make(&path).unwrap();
        fs::create_dir(path.join(EDGES)).unwrap();
        let files = [FILE, ORDERS, "edges/notes.txt"].map(|name| path.join(name));
        files.iter().for_each(|file| fs::write(file, "mine").unwrap());
        let said = Place::take(Some(&path)).unwrap_err().to_string();
        assert!(said.contains("is not empty"), "{said}");
        for file in files {
            assert_eq!(fs::read_to_string(file).unwrap(), "mine");
        }
        assert!(!path.join(LOCK).exists());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn what_a_demo_did_not_make_outlives_it_and_what_a_killed_one_left_goes() {
        let path = folder("left");
        let place = Place::take(Some(&path)).unwrap();
        fs::create_dir_all(place.edges().join("eu-1")).unwrap();
        fs::write(place.edges().join("eu-1.toml"), "made").unwrap();
        fs::write(place.edges().join("notes.txt"), "mine").unwrap();
        // As after kill -9: nothing is cleared, and the lock is gone.
        let Place { directory, _lock } = &place;
        _lock.unlock().unwrap();
        assert!(directory.holds(LOCK));
        let next = Place::take(Some(&path)).unwrap();
        let left = fs::read_dir(next.edges()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["notes.txt"]);
        drop(next);
        drop(place);
        assert!(path.join("edges/notes.txt").exists());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_directory_is_known_by_its_whole_path() {
        let path = path_of(Some(Path::new("a/b"))).unwrap();
        assert_eq!(path, env::current_dir().unwrap().join("a/b"));
    }
}
