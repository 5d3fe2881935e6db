//! A `nigh edge` process, from its first line to its exit code.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use super::{Head, Origin, PATIENCE, Response, Wire};

/// The program under test.
pub(crate) const NIGH: &str = env!("CARGO_BIN_EXE_nigh");

/// A running edge; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Edge {
    child: Child,
    lines: Receiver<String>,
    /// Where it listens, in the order of its flags: clear HTTP first.
    pub(crate) addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl Edge {
    /// An edge before `origin`, listening in clear, with more flags.
    #[track_caller]
    pub(crate) fn start(origin: &Origin, flags: &[&str]) -> Self {
        Self::to(&origin.url(), flags)
    }

    /// The same for any URL.
    #[track_caller]
    pub(crate) fn to(url: &str, flags: &[&str]) -> Self {
        Self::run(Command::new(NIGH), url, flags)
    }

    /// An edge that may have so many file descriptors.
    #[track_caller]
    pub(crate) fn with_descriptors(origin: &Origin, limit: u32, flags: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), NIGH]);
        Self::run(shell, &origin.url(), flags)
    }

    #[track_caller]
    fn run(mut command: Command, url: &str, flags: &[&str]) -> Self {
        command.args(["edge", "--to", url, "--listen", "http://127.0.0.1:0"]);
        if !flags.contains(&"--workers") {
            command.args(["--workers", "2"]);
        }
        let mut child = command
            .args(flags)
            .env("NO_COLOR", "1")
            .env_remove("NIGH_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nigh starts");
        let stderr = child.stderr.take().expect("it is piped");
        let (out, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if out.send(line).is_err() {
                    return;
                }
            }
        });
        let mut edge = Self { child, lines, addresses: Vec::new(), admin: None };
        let listening = 1 + flags.iter().filter(|flag| **flag == "--listen").count();
        while edge.addresses.len() < listening {
            let line = edge.line("listening on ");
            edge.addresses.push(address_in(&line));
        }
        if flags.contains(&"--admin") {
            let line = edge.line("admin on ");
            edge.admin = Some(address_in(&line));
        }
        edge
    }

    /// The next line of its standard error that contains `words`.
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

    /// A new connection to it, in clear.
    #[track_caller]
    pub(crate) fn client(&self) -> Wire {
        Wire::connect(self.addresses[0])
    }

    /// Asks with GET on a connection of its own.
    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.client().get(target)
    }

    /// Asks for what the origin answers at once, and comes back when it is stored: the second
    /// request on a connection is read only when the first one's fetch is over.
    #[track_caller]
    pub(crate) fn fill(&self, target: &str) -> Response {
        let mut client = self.client();
        let first = client.get(target);
        client.ask("HEAD", target, "Cache-Control: only-if-cached\r\n");
        let held = client.final_head();
        assert_ne!(held.status(), 504, "{target} was not stored: {first:?}");
        first
    }

    /// Asks with GET until the answer is as it should be: for what the edge does in the background.
    #[track_caller]
    pub(crate) fn get_until(&self, target: &str, good: impl Fn(&Response) -> bool) -> Response {
        let deadline = Instant::now() + PATIENCE;
        let mut client = self.client();
        loop {
            let response = client.get(target);
            if good(&response) {
                return response;
            }
            assert!(Instant::now() < deadline, "this does not change: {response:?}");
            std::thread::yield_now();
        }
    }

    /// The stored answer to GET, if there is one: the origin is not asked.
    #[track_caller]
    pub(crate) fn held(&self, target: &str) -> Option<Response> {
        let response = self.client().get_with(target, "Cache-Control: only-if-cached\r\n");
        (response.status() != 504).then_some(response)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin.expect("it was started with --admin")
    }

    /// Asks its admin address.
    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> Response {
        let mut wire = Wire::connect(self.admin());
        let host = self.admin();
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
        wire.response()
    }

    /// `/v1/status`, once it is as it should be.
    #[track_caller]
    pub(crate) fn status_until(
        &self,
        good: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = self.ask_admin("/v1/status");
            let status = serde_json::from_slice(&response.body).expect("it is JSON");
            if good(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "this does not change: {status}");
            std::thread::yield_now();
        }
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        // Its standard error closes when it ends, so there is nothing to poll for.
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

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address_in(line: &str) -> SocketAddr {
    let (_, behind) = line.split_once("://").expect("the line names an address");
    behind.split_whitespace().next().and_then(|text| text.parse().ok()).expect("an address")
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
    let mut child = Command::new(NIGH)
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("NIGH_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nigh starts");
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

/// The parts of a head that a test compares in one go.
pub(crate) fn summary(head: &Head) -> (u16, &str) {
    (head.status(), head.cache())
}
