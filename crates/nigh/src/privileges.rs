//! Root opens the ports and the log, and an ordinary user serves: `[node] user`.
//!
//! The change is made for all threads at once (the C library's setresuid(2) and its kin see to that),
//! before any thread serves, and it is held against what the kernel then says of each thread. A process
//! that takes this one's place begins as that user.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown, lchown},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use nigh_cache::disk;
use nix::unistd::{Gid, Group, Uid, User, initgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use tracing::{info, warn};

use crate::settings::{AdminAddress, Node, Settings};

/// Whom this process becomes.
#[derive(Debug)]
pub(crate) struct Intended {
    name: CString,
    user: Uid,
    group: Gid,
}

impl Intended {
    /// What the settings want, if there is anything to give up. From here on nothing that this process
    /// starts can have more rights than it; to be called before there is another thread.
    pub(crate) fn of(node: &Node) -> anyhow::Result<Option<Self>> {
        let is_root = Uid::effective().is_root();
        let Some(name) = &node.user else {
            if is_root {
                warn!(
                    "this runs as root: name a user in [node], and it opens its ports and becomes that"
                );
            }
            return Ok(None);
        };
        let user = User::from_name(name)?.with_context(|| format!("there is no user `{name}`"))?;
        let group = match &node.group {
            None => user.gid,
            Some(name) => {
                Group::from_name(name)?.with_context(|| format!("there is no group `{name}`"))?.gid
            }
        };
        ensure!(!user.uid.is_root(), "[node] user is root: name one that may do less");
        if !is_root {
            ensure!(
                Uid::effective() == user.uid,
                "only root can become `{name}`: start it as root"
            );
            return Ok(None);
        }
        set_no_new_privs(true)?;
        let name = CString::new(user.name)?;
        Ok(Some(Self { name, user: user.uid, group }))
    }

    /// Gives what the settings have it write to the user, and becomes that user for good.
    pub(crate) fn become_it(self, settings: &Settings) -> anyhow::Result<()> {
        if let Some(log) = settings.node.access_log.as_deref().filter(|log| *log != Path::new("-"))
        {
            self.give(log, is_a_file)
                .with_context(|| format!("cannot give away {}", log.display()))?;
        }
        if let Some(disk) = &settings.cache.disk {
            let path = &disk.path;
            self.give_disk(path).with_context(|| format!("cannot give away {}", path.display()))?;
        }
        if let Some(AdminAddress::Unix(path)) = &settings.node.admin {
            lchown(path, Some(self.user.as_raw()), Some(self.group.as_raw()))
                .with_context(|| format!("cannot give away {}", path.display()))?;
        }
        initgroups(&self.name, self.group)?;
        setresgid(self.group, self.group, self.group)?;
        setresuid(self.user, self.user, self.user)?;
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets { effective: none, permitted: none, inheritable: none },
        )?;
        self.assert_done()?;
        info!("this runs as {} from here on", self.name.to_string_lossy());
        Ok(())
    }

    /// The directory, and what the disk store has written into it; nothing else that may lie there.
    fn give_disk(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        let is_given = |held: &fs::Metadata| held.is_dir();
        self.give(path, is_given)?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_ours = |name: &str| name == "lock" || disk::number_of(name).is_some();
            if name.to_str().is_some_and(is_ours) {
                self.give(&entry.path(), is_a_file)?;
            }
        }
        Ok(())
    }

    /// Gives away what lies at `path` itself. Whoever may write beside it could have put a link to
    /// root's own files there, or a second name of one: neither is given.
    fn give(&self, path: &Path, is_it: impl Fn(&fs::Metadata) -> bool) -> io::Result<()> {
        let mut options = fs::File::options();
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = options.read(true).custom_flags(flags).open(path)?;
        let held = file.metadata()?;
        let owner_may = held.uid() == 0 || held.uid() == self.user.as_raw();
        if !is_it(&held) || !owner_may {
            return Err(io::Error::other(
                "it is a link, has a second name, or belongs to somebody else: remove it",
            ));
        }
        fchown(&file, Some(self.user.as_raw()), Some(self.group.as_raw()))
    }

    /// There is no way back, for any thread.
    fn assert_done(&self) -> anyhow::Result<()> {
        let root = Uid::from_raw(0);
        if setresuid(root, root, root).is_ok() {
            bail!("this process could become root again: it does not serve");
        }
        for task in fs::read_dir("/proc/self/task").context("cannot look at the threads")? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            ensure!(
                is_dropped(&status, self.user.as_raw(), self.group.as_raw()),
                "a thread has kept rights of root: this process does not serve"
            );
        }
        Ok(())
    }
}

/// Whether a thread's status (proc(5)) shows this user and group only, and no capability that is
/// permitted.
fn is_dropped(status: &str, user: u32, group: u32) -> bool {
    let values = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    values("Uid:") == vec![user.to_string(); 4]
        && values("Gid:") == vec![group.to_string(); 4]
        && values("CapPrm:").iter().all(|set| set.bytes().all(|digit| digit == b'0'))
        && !values("CapPrm:").is_empty()
}

/// An ordinary file that has one name.
fn is_a_file(held: &fs::Metadata) -> bool {
    held.is_file() && held.nlink() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_kept_anything_is_found() {
        let status = |uid: &str, gid: &str, permitted: &str| {
            format!("Name:\tnigh\nUid:\t{uid}\nGid:\t{gid}\nCapInh:\t0\nCapPrm:\t{permitted}\n")
        };
        let (seven, eight) = ("7\t7\t7\t7", "8\t8\t8\t8");
        assert!(is_dropped(&status(seven, eight, "0000000000000000"), 7, 8));
        for (uid, gid, permitted) in [
            ("7\t7\t0\t7", eight, "0000000000000000"),
            (seven, "8\t0\t8\t8", "0000000000000000"),
            (seven, eight, "0000000000000400"),
        ] {
            assert!(!is_dropped(&status(uid, gid, permitted), 7, 8), "{uid} {gid} {permitted}");
        }
        assert!(!is_dropped("", 7, 8));
    }
}
