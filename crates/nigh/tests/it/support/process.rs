//! A `nigh` process: its lines, its signals, its end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use super::PATIENCE;

/// The program under test.
pub(crate) const NIGH: &str = env!("CARGO_BIN_EXE_nigh");

/// A process that runs until it is told to end; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// Those that have taken its place, one after the other; they write to the same outputs.
    successors: Vec<u32>,
    /// All that were started for that, whether they came to it or not: they are nobody's children, and
    /// would serve on once what they wait for is gone.
    started: Arc<Mutex<Vec<u32>>>,
}

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
        let started = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            pass_lines_on(stdout, out.clone(), Arc::clone(&started));
        }
        if let Some(stderr) = child.stderr.take() {
            pass_lines_on(stderr, out, Arc::clone(&started));
        }
        Self { child, lines, successors: Vec::new(), started }
    }

    /// The next of its lines that contains `words`.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
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
        let line = self.line(STARTED);
        self.successors.push(started(&line).expect("the line names the process"));
        self.line("the new process serves");
    }

    /// Lets it do nothing, until [`Self::go_on`].
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
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
        for id in &*self.started.lock().expect("nobody panics while holding it") {
            let mut kill = Command::new("kill");
            // Most have ended.
            let _ = kill.args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

/// What is said of a process that is to take another one's place.
const STARTED: &str = "a new process is started";

/// Its id, if that is what a line says.
fn started(line: &str) -> Option<u32> {
    let (_, id) = line.rsplit_once("pid=").filter(|_| line.contains(STARTED))?;
    id.trim().parse().ok()
}

fn pass_lines_on(from: impl Read + Send + 'static, to: Sender<String>, all: Arc<Mutex<Vec<u32>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            all.lock().expect("nobody panics while holding it").extend(started(&line));
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
