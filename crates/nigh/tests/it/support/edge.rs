//! A `nigh edge` process, from its first line to its exit code.

use std::{
    net::SocketAddr,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::{
    Head, Origin, PATIENCE, Response, SettingsFile, Wire,
    process::{NIGH, Process},
};

/// A running edge; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) process: Process,
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
        Self::run(Command::new(NIGH), &["--to", url], flags)
    }

    /// A forward proxy, listening in clear.
    #[track_caller]
    pub(crate) fn forward(flags: &[&str]) -> Self {
        Self::run(Command::new(NIGH), &["--forward"], flags)
    }

    /// An edge that may have so many file descriptors.
    #[track_caller]
    pub(crate) fn with_descriptors(origin: &Origin, limit: u32, flags: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), NIGH]);
        Self::run(shell, &["--to", &origin.url()], flags)
    }

    /// An edge that `command` begins, to which the arguments are added.
    #[track_caller]
    pub(crate) fn run(mut command: Command, role: &[&str], flags: &[&str]) -> Self {
        command.arg("edge").args(role).args(["--listen", "http://127.0.0.1:0"]);
        if !flags.contains(&"--workers") {
            command.args(["--workers", "2"]);
        }
        let command = command.args(flags).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = Process::start(command);
        let mut edge = Self { process, addresses: Vec::new(), admin: None };
        let listening = 1 + flags.iter().filter(|flag| **flag == "--listen").count();
        while edge.addresses.len() < listening {
            let line = edge.line("listening on ");
            edge.addresses.push(address_in(&line));
        }
        if flags.contains(&"--admin") {
            let line = edge.line("admin on ");
            edge.admin = socket_in(&line);
        }
        edge
    }

    /// An edge as `file` describes it, listening once and in clear.
    #[track_caller]
    pub(crate) fn of(file: &SettingsFile) -> Self {
        Self::described(Command::new(NIGH), file)
    }

    /// The same, with a variable in its environment.
    #[track_caller]
    pub(crate) fn with_variable(file: &SettingsFile, name: &str, value: &str) -> Self {
        let mut command = Command::new(NIGH);
        command.env(name, value);
        Self::described(command, file)
    }

    /// The same, begun by `command`.
    #[track_caller]
    pub(crate) fn described(mut command: Command, file: &SettingsFile) -> Self {
        let command = command.arg("run").arg(&file.path);
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::piped()));
        let mut edge = Self { process, addresses: Vec::new(), admin: None };
        edge.addresses.push(address_in(&edge.line("listening on ")));
        if file.has_admin {
            edge.admin = socket_in(&edge.line("admin on "));
        }
        edge
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
        self.get_of_until("www.example", target, good)
    }

    /// The same for a target of that host.
    #[track_caller]
    pub(crate) fn get_of_until(
        &self,
        host: &str,
        target: &str,
        good: impl Fn(&Response) -> bool,
    ) -> Response {
        let deadline = Instant::now() + PATIENCE;
        let mut client = self.client();
        loop {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let response = client.response();
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

    /// Tells its admin address something; `lines` are more field lines, each with its line end.
    #[track_caller]
    pub(crate) fn tell_admin(
        &self,
        method: &str,
        path: &str,
        lines: &str,
        content: &str,
    ) -> Response {
        let mut wire = Wire::connect(self.admin());
        let (host, length) = (self.admin(), content.len());
        wire.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{lines}\
             Connection: close\r\n\r\n{content}"
        ));
        wire.response()
    }

    /// Asks its admin address to prefetch a URL; the answer is still to come.
    #[track_caller]
    pub(crate) fn begin_prefetch(&self, url: &str) -> Wire {
        let mut wire = Wire::connect(self.admin());
        let (host, content) = (self.admin(), format!("{{\"urls\": [\"{url}\"]}}"));
        let length = content.len();
        wire.send(format!(
            "POST /v1/prefetch HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{content}"
        ));
        wire
    }

    /// What happens to it from now on: each chunk is an event.
    #[track_caller]
    pub(crate) fn events(&self) -> Wire {
        let mut wire = Wire::connect(self.admin());
        wire.send(format!("GET /v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", self.admin()));
        assert_eq!(wire.head().first("content-type"), "text/event-stream");
        assert_eq!(wire.chunk().expect("a chunk"), b": listening\n\n");
        wire
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

    /// What `/metrics` says of this, labels included.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.ask_admin("/metrics");
        let value = page.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).expect("a number of this name")
    }

    /// The same, once it is as it should be.
    #[track_caller]
    pub(crate) fn metric_until(&self, name: &str, good: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !good(self.metric(name)) {
            assert!(Instant::now() < deadline, "{name} does not change");
            std::thread::yield_now();
        }
    }

    /// The next line of its standard error that contains `words`.
    #[track_caller]
    pub(crate) fn line(&self, words: &str) -> String {
        self.process.line(words)
    }

    /// Asks with GET for a target of that host on a connection of its own.
    #[track_caller]
    pub(crate) fn get_of(&self, host: &str, target: &str) -> Response {
        let mut client = self.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response()
    }

    /// Sends it SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.process.hang_up();
    }

    /// Lets it do nothing, until [`Self::go_on`].
    pub(crate) fn pause(&self) {
        self.process.pause();
    }

    /// Has it go on.
    pub(crate) fn go_on(&self) {
        self.process.go_on();
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        self.process.terminate();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.ended()
    }

    /// The processor time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.cpu()
    }
}

fn address_in(line: &str) -> SocketAddr {
    let (_, behind) = line.split_once("://").expect("the line names an address");
    behind.split_whitespace().next().and_then(|text| text.parse().ok()).expect("an address")
}

/// The address of the network in a line, if there is one.
fn socket_in(line: &str) -> Option<SocketAddr> {
    line.contains("://").then(|| address_in(line))
}

/// The parts of a head that a test compares in one go.
pub(crate) fn summary(head: &Head) -> (u16, &str) {
    (head.status(), head.cache())
}
