//! A `nigh` process: its lines, its signals, its end.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use super::PATIENCE;

/// The program under test.
pub(crate) const NIGH: &str = env!("CARGO_BIN_EXE_nigh");

/// A process that runs until it is told to end; dropping it kills it, and those it has started.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Those that were started to take its place; they write to the same outputs.
    started: RefCell<Vec<u32>>,
    /// Those that have, one after the other.
    successors: Vec<u32>,
}

/// What a process says of one that it has started.
const STARTED: &str = "a new process is started";

impl Process {
    /// Starts `command`, and reads the lines of those of its outputs that are piped.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .env("NO_COLOR", "1")
            .env_remove("NIGH_LOG")
            .stdin(Stdio::null())
            .spawn()
            .expect("nigh starts");
        let (out, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            pass_lines_on(stdout, out.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            pass_lines_on(stderr, out);
        }
        Self { child, lines, started: RefCell::default(), successors: Vec::new() }
    }

    /// The next of its lines that contains `words`.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            if let Some(id) = line.as_ref().ok().and_then(|line| started(line)) {
                self.started.borrow_mut().push(id);
            }
            match line {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => passed.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no line with {words:?} in {passed:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("nigh ended: {passed:#?}"),
            }
        }
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends it SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// Sends it SIGUSR2.
    pub(crate) fn ask_to_be_replaced(&self) {
        self.signal("-USR2");
    }

    /// Has a new process take its place, which gets the signals from then on.
    #[track_caller]
    pub(crate) fn replace(&mut self) {
        self.ask_to_be_replaced();
        let id = started(&self.line(STARTED)).expect("the line names the process");
        self.successors.push(id);
        self.line("the new process serves");
    }

    /// The process that serves.
    pub(crate) fn id(&self) -> u32 {
        self.successors.last().copied().unwrap_or_else(|| self.child.id())
    }

    fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for the end of the process that was started first, whatever became of its successors.
    #[track_caller]
    pub(crate) fn first_ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the first process does not end");
            std::thread::yield_now();
        }
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        // Its outputs close when it ends, so there is nothing to poll for.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("nigh does not end"),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("it ran"),
            }
        }
    }

    /// The processor time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .expect("the process is there");
        // Behind the name, which may contain anything, in parentheses: fields 3 and on; utime is
        // field 14 and stime is field 15 (proc(5)), in hundredths of a second.
        let (_, behind) = stat.rsplit_once(')').expect("the name is in parentheses");
        let ticks = |at: usize| -> u64 {
            let word = behind.split_whitespace().nth(at - 3).expect("it has so many fields");
            word.parse().expect("ticks are a number")
        };
        Duration::from_millis(10 * (ticks(14) + ticks(15)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for id in self.started.get_mut() {
            let mut kill = Command::new("kill");
            // Most have ended.
            let _ = kill.args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// The process that a line says was started, if it does.
fn started(line: &str) -> Option<u32> {
    let (_, id) = line.split_once(STARTED)?.1.rsplit_once("pid=")?;
    id.trim().parse().ok()
}

fn pass_lines_on(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

/// What a run of `nigh` to its end said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `nigh` to its end, which must come by itself.
#[track_caller]
pub(crate) fn nigh(arguments: &[&str]) -> Ran {
    nigh_reading(b"", arguments)
}

/// The same with `input` on its standard input.
#[track_caller]
pub(crate) fn nigh_reading(input: &[u8], arguments: &[&str]) -> Ran {
    let mut child = Command::new(NIGH)
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("NIGH_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nigh starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A pipe takes what tests write at once. Who has ended already reads nothing.
    drop(stdin.write_all(input));
    drop(stdin);
    let stdout = read(child.stdout.take().expect("it is piped"));
    let stderr = read(child.stderr.take().expect("it is piped"));
    let Ok(stderr) = stderr.recv_timeout(PATIENCE) else {
        let _ = child.kill();
        panic!("nigh {arguments:?} does not end");
    };
    let stdout = stdout.recv().expect("it is read to its end");
    Ran { code: child.wait().expect("it ran").code(), stdout, stderr }
}

fn read(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (out, text) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        // Nobody listens any more when the test has failed.
        let _ = out.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}
