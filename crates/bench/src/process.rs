//! Programs that a measurement starts: each on its core, ahead of background work, and none
//! outlives the measurement.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a program may take to end when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(20);
/// Linux counts processor time for users in these, on every architecture that we measure on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Root's programs run ahead of others, also in the scheduler's groups by session; then the
/// program takes the shell's place. Debian keeps servers where not everyone looks for programs.
const AHEAD: &str = r#"
PATH="$PATH:/usr/sbin:/sbin"
ulimit -n "$(ulimit -Hn)"
if [ "$(id -u)" = 0 ]; then
    { echo -20 > /proc/self/autogroup; } 2> /dev/null
    set -- nice -n -20 "$@"
fi
exec "$@""#;

/// Where a program runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The only core that it may use.
    pub(crate) core: usize,
    /// The process whose network it shares, if not ours.
    pub(crate) network_of: Option<u32>,
}

impl Place {
    /// On `core`, with our own network.
    pub(crate) fn core(core: usize) -> Self {
        Self { core, network_of: None }
    }

    /// A command that runs `program` here, in a session of its own. The kernel ends it when the
    /// thread that spawns it ends, so it is to be spawned from the main one.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", AHEAD, "sh", "setpriv", "--pdeathsig", "TERM"]);
        if let Some(pid) = self.network_of {
            command.args(["nsenter", "--net", "--target", &pid.to_string()]);
        }
        command.args(["taskset", "--cpu-list", &self.core.to_string()]).arg(program);
        command.stdin(Stdio::null());
        command
    }
}

/// A program that runs until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it, with its output in the file `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> io::Result<Self> {
        let out = File::create(log)?;
        let error = out.try_clone()?;
        Ok(Self { child: command.stdout(out).stderr(error).spawn()? })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// It and all its descendants.
    pub(crate) fn tree(&self) -> Vec<u32> {
        tree(self.pid())
    }

    /// Ends it and its descendants at once, without asking.
    pub(crate) fn kill(&mut self) {
        signal("-KILL", &self.tree());
        let _ = self.child.wait();
    }

    /// Ends it and its descendants: asked first, then made to.
    pub(crate) fn stop(&mut self) {
        if !self.is_running() {
            return;
        }
        let all: Vec<(u32, Option<u64>)> =
            self.tree().into_iter().map(|pid| (pid, started_at(pid))).collect();
        signal("-TERM", &[self.pid()]);
        let deadline = Instant::now() + STOP_LIMIT;
        while self.is_running() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        // Those that did not listen, and those whose parent left them behind.
        let left =
            all.into_iter().filter(|&(pid, start)| start.is_some() && started_at(pid) == start);
        let left: Vec<u32> = left.map(|(pid, _)| pid).collect();
        if !left.is_empty() {
            signal("-KILL", &left);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(name: &str, pids: &[u32]) {
    // That one of them is gone already is as good.
    let _ = Command::new("kill")
        .arg(name)
        .args(pids.iter().map(u32::to_string))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// A process and all its descendants.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}

/// Processor seconds that `pids` have used, in user and kernel mode.
pub(crate) fn cpu_seconds(pids: &[u32]) -> f64 {
    let of = |pid: &u32| stat(&pid.to_string()).map_or(0.0, |stat| stat.own_ticks);
    pids.iter().map(of).sum::<f64>() / TICKS_PER_SECOND
}

/// Processor seconds of this process, and of those of its children that have ended.
pub(crate) fn own_cpu_seconds() -> f64 {
    stat("self").map_or(0.0, |stat| stat.own_ticks + stat.children_ticks) / TICKS_PER_SECOND
}

/// Bytes of memory of `pids`; what several share is divided among them.
pub(crate) fn memory_bytes(pids: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        kib(&text, "Pss:").unwrap_or(0.0) * 1024.0
    };
    pids.iter().map(of).sum()
}

/// Bytes that `pids` have had the device read for them.
pub(crate) fn device_bytes(pids: &[u32]) -> f64 {
    let of = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: "));
        line.and_then(|bytes| bytes.parse::<f64>().ok()).unwrap_or(0.0)
    };
    pids.iter().map(of).sum()
}

/// Bytes that the whole machine has in tmpfs and in the kernel's own tables.
pub(crate) fn shared_bytes() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (kib(&text, "Shmem:").unwrap_or(0.0) + kib(&text, "Slab:").unwrap_or(0.0)) * 1024.0
}

/// Seconds that all cores together have been busy, whoever used them.
pub(crate) fn busy_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    busy_ticks(&text).unwrap_or(0.0) / TICKS_PER_SECOND
}

fn kib(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

fn busy_ticks(stat: &str) -> Option<f64> {
    let first = stat.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<f64> = first.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; the guests' share is in user's.
    let [user, nice, system, _, _, irq, softirq, steal, ..] = numbers[..] else { return None };
    Some(user + nice + system + irq + softirq + steal)
}

struct Stat {
    own_ticks: f64,
    children_ticks: f64,
    started_at: u64,
}

fn started_at(pid: u32) -> Option<u64> {
    stat(&pid.to_string()).map(|stat| stat.started_at)
}

fn stat(pid: &str) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5): fields 14 to 17 and 22. The name, which is second, may hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(") ")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| words.get(number - 3).copied();
    let ticks = |number| field(number)?.parse::<f64>().ok();
    Some(Stat {
        own_ticks: ticks(14)? + ticks(15)?,
        children_ticks: ticks(16)? + ticks(17)?,
        started_at: field(22)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_a_name_with_parentheses() {
        let line = "41 (a) b (c) S 1 41 41 0 -1 4194560 1 2 3 4 500 70 8 9 20 0 1 0 12345 6 7";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.own_ticks, stat.children_ticks), (570.0, 17.0));
        assert_eq!(stat.started_at, 12345);
        assert!(parse_stat("41 (a) S 1").is_none());
    }

    #[test]
    fn a_busy_machine_is_one_that_neither_idles_nor_waits() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 32 64 128\ncpu0 9\n"), Some(63.0));
        assert_eq!(busy_ticks("cpu0 1\n"), None);
    }

    #[test]
    fn a_program_ends_when_it_is_dropped_with_its_children() {
        let log = std::env::temp_dir().join(format!("nigh-bench-test-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; sleep 60 & sleep 60"]).stdin(Stdio::null());
        let process = Process::start(command, &log).unwrap();
        while process.tree().len() < 3 {
            thread::sleep(POLL);
        }
        let pids = process.tree();
        drop(process);
        fs::remove_file(log).unwrap();
        // A child that nobody waits for stays as a zombie, which uses nothing.
        let alive = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        thread::sleep(POLL);
        assert_eq!(pids.iter().filter(|pid| alive(pid)).count(), 0);
    }
}
