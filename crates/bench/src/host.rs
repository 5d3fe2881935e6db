//! The machine that is measured on: whose turn it is, which programs it has, where to put files.

use std::{
    env, fs,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// Held while something is measured, by every measurement on this machine.
const LOCK: &str = "nigh-bench.lock";
/// Between two turns, so that whoever waits for the lock gets it.
const PAUSE: Duration = Duration::from_millis(200);
/// Scratch folders are named after the process that made them.
const SCRATCH_PREFIX: &str = "nigh-bench-";
/// Memory that looks like a disk.
const TMPFS: &str = "/dev/shm";

/// Why the machine is not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Programs of others that are not installed.
    #[error("not installed: {}\n  apt-get install {}", names(.0, |p| p.name), packages(.0))]
    Missing(Vec<Program>),
    /// What only root may do.
    #[error("this needs root: it makes {0}")]
    NotRoot(&'static str),
    /// The lock, the scratch folder or this program's own path cannot be had.
    #[error("{0} cannot be used")]
    Unusable(PathBuf, #[source] io::Error),
    /// cargo did not build a program.
    #[error("{0} does not build: name one with {1} PATH")]
    NoBuild(&'static str, &'static str),
    /// Ctrl-C, or SIGTERM.
    #[error("interrupted; everything that was started is stopped, and its files are removed")]
    Interrupted,
}

/// A program of others, and the Debian package that brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// Which of `programs` are not on the search path.
pub(crate) fn missing(programs: &[Program]) -> Vec<Program> {
    programs.iter().copied().filter(|program| find(program.name).is_none()).collect()
}

/// Fails if one of `programs` is not on the search path.
pub(crate) fn need(programs: &[Program]) -> Result<(), Error> {
    let missing = missing(programs);
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers in sbin, which is not on everyone's path.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn names(programs: &[Program], name: fn(&Program) -> &'static str) -> String {
    programs.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn packages(programs: &[Program]) -> String {
    let mut packages: Vec<&str> = programs.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages.join(" ")
}

/// Whether this process may do what only root may.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// nigh's release binary: the one that is named, or one that cargo builds now.
pub(crate) fn nigh(named: Option<&Path>) -> Result<PathBuf, Error> {
    let Some(path) = named else {
        build(&["--package", "nigh"], "nigh's release binary", "--nigh")?;
        return Ok(myself()?.with_file_name("nigh"));
    };
    usable(path)
}

/// The node of the crate mainline, a workspace of its own: the one that is named, or one that cargo builds
/// now.
pub(crate) fn mainline(named: Option<&Path>) -> Result<PathBuf, Error> {
    let Some(path) = named else {
        let manifest =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/foreign/mainline/Cargo.toml");
        let target = myself()?.with_file_name("foreign-mainline");
        let folder = target.to_string_lossy();
        let words = ["--manifest-path", manifest, "--target-dir", &folder];
        build(&words, "the node of the crate mainline", "--mainline")?;
        return Ok(target.join("release/nigh-foreign-mainline"));
    };
    usable(path)
}

fn usable(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(|error| Error::Unusable(path.to_owned(), error))
}

/// Has cargo build `what`, for which `flag` names another.
fn build(words: &[&str], what: &'static str, flag: &'static str) -> Result<(), Error> {
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--release", "--locked"])
        .args(words)
        .stdin(Stdio::null())
        .status();
    let is_built = built.is_ok_and(|status| status.success());
    if is_built { Ok(()) } else { Err(Error::NoBuild(what, flag)) }
}

/// This program: cargo puts nigh's binary beside it.
pub(crate) fn myself() -> Result<PathBuf, Error> {
    env::current_exe().map_err(|error| Error::Unusable("/proc/self/exe".into(), error))
}

/// A turn to measure. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    lock: File,
}

impl Turn {
    /// Waits until nobody else on this machine measures.
    pub(crate) fn take() -> Result<Self, Error> {
        check_interrupt()?;
        let path = env::temp_dir().join(LOCK);
        let unusable = |error| Error::Unusable(path.clone(), error);
        let lock = File::options().append(true).create(true).open(&path).map_err(unusable)?;
        let mut waited = false;
        while let Err(error) = lock.try_lock() {
            if let TryLockError::Error(error) = error {
                return Err(unusable(error));
            }
            if !std::mem::replace(&mut waited, true) {
                progress("waiting for another measurement on this machine to end");
            }
            thread::sleep(PAUSE / 4);
            check_interrupt()?;
        }
        Ok(Self { lock })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // That it fails only means that the lock goes with its file, after the pause.
        let _ = self.lock.unlock();
        thread::sleep(PAUSE);
    }
}

/// Folders for settings and logs, and for bulk on a tmpfs. They go when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// For settings, sockets and logs.
    pub(crate) files: PathBuf,
    /// For what a cache would keep on a disk, if it had a very fast one.
    pub(crate) memory: PathBuf,
}

impl Scratch {
    /// Makes the folders, and removes those of processes that are gone.
    pub(crate) fn new() -> Result<Self, Error> {
        let name = format!("{SCRATCH_PREFIX}{}", std::process::id());
        let tmpfs = Path::new(TMPFS);
        let base = env::temp_dir();
        let memory = if tmpfs.is_dir() { tmpfs } else { base.as_path() };
        remove_orphans(&base);
        remove_orphans(memory);
        let scratch = Self {
            files: base.join(&name).join("files"),
            memory: memory.join(&name).join("memory"),
        };
        for folder in [&scratch.files, &scratch.memory] {
            let unusable = |error| Error::Unusable(folder.clone(), error);
            fs::create_dir_all(folder).map_err(unusable)?;
        }
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for folder in [&self.files, &self.memory] {
            let own = folder.parent().unwrap_or(folder);
            // What cannot be removed is removed by the next measurement.
            let _ = fs::remove_dir_all(own);
        }
    }
}

fn remove_orphans(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(SCRATCH_PREFIX));
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Set once by a signal.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM end the measurement at its next step, with everything put away.
pub(crate) fn watch_signals() {
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
            let terminated = async move { terminate.recv().await };
            let mut terminated = std::pin::pin!(terminated);
            let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
            std::future::poll_fn(|context| {
                if terminated.as_mut().poll(context).is_ready() {
                    return std::task::Poll::Ready(());
                }
                interrupted.as_mut().poll(context).map(drop)
            })
            .await;
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    });
}

/// Fails once the user has had enough.
pub(crate) fn check_interrupt() -> Result<(), Error> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Says on standard error what is being done: a measurement takes minutes.
#[expect(clippy::print_stderr, reason = "standard output is for the report")]
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_named_with_their_packages() {
        let absent = |name| Program { name, package: "some-package" };
        let error = need(&[absent("no-such-a"), absent("no-such-b")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no-such-a, no-such-b"), "{text}");
        assert!(text.ends_with("apt-get install some-package"), "{text}");
        assert!(need(&[Program { name: "sh", package: "dash" }]).is_ok());
    }
}
