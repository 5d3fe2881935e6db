//! Where a running demo is found: a directory with what it is made of, and a socket for orders.
//!
//! ```text
//! demo.json     who is there: names, addresses, process ids
//! orders        a socket: `kill eu-2` or `revive eu-2` in a line, and in a line what came of it
//! edges/        settings, certificates and logs of the edges
//! ```

use std::{
    env, fs, io,
    net::SocketAddr,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use nigh_net::cluster::files::Directory;
use serde::{Deserialize, Serialize};

/// The names in the directory.
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
pub(super) struct Place(Directory);

impl Place {
    /// Takes the directory, or the user's own one for demos.
    ///
    /// # Errors
    /// If another demo runs there, or others may write there.
    pub(super) fn take(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = path_of(named);
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
        let orders = directory.path_of(ORDERS);
        ensure!(
            std::os::unix::net::UnixStream::connect(orders).is_err(),
            "a demo runs in {}: end it, or name another directory with --dir",
            path.display()
        );
        // From here on it is ours. One that was killed has left its files.
        let place = Self(directory);
        place.clear();
        Ok(place)
    }

    /// Where orders come in.
    pub(super) fn orders(&self) -> PathBuf {
        self.0.path_of(ORDERS)
    }

    /// Where the edges' files lie.
    pub(super) fn edges(&self) -> PathBuf {
        self.0.path_of(EDGES)
    }

    /// Whether somebody who names no directory finds it.
    pub(super) fn is_usual(&self) -> bool {
        self.0.path() == path_of(None)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Has others find this.
    pub(super) fn publish(&self, found: &Found) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(found)?;
        self.0.write(FILE, &text).with_context(|| format!("cannot write {FILE}"))
    }

    fn clear(&self) {
        // What is not there need not go, and a directory that holds what is not ours stays.
        drop(fs::remove_file(self.0.path_of(FILE)));
        drop(fs::remove_file(self.orders()));
        drop(fs::remove_dir_all(self.edges()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        drop(fs::remove_dir(self.0.path()));
    }
}

/// The demo that runs, and where it takes orders.
///
/// # Errors
/// If none runs there.
pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<(Found, PathBuf)> {
    let directory = Directory::at(&path_of(named));
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
    Ok(edge(&found, name).with_context(told)?.admin)
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

/// The directory that was named, or one that this user alone has.
fn path_of(named: Option<&Path>) -> PathBuf {
    if let Some(path) = named {
        return path.to_owned();
    }
    match env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
        Some(folder) => Path::new(&folder).join("nigh-demo"),
        None => {
            let user = rustix::process::getuid().as_raw();
            env::temp_dir().join(format!("nigh-demo-{user}"))
        }
    }
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
        let _listening = std::os::unix::net::UnixListener::bind(place.orders()).unwrap();
        let said = Place::take(Some(&path)).unwrap_err().to_string();
        assert!(said.contains("a demo runs in"), "{said}");
        assert!(place.orders().exists(), "the one that runs goes on");
        let open = folder("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        let said = Place::take(Some(&open)).unwrap_err().to_string();
        assert!(said.contains("only its owner"), "{said}");
        fs::remove_dir(&open).unwrap();
    }
}
