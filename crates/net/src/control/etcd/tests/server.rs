//! An etcd on loopback that a test starts, stops, kills and starts again.

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// It ends, and its folder goes, with this value.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) folder: PathBuf,
    scheme: &'static str,
    port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    pub(super) fn start() -> Self {
        let mut server = Self::prepare("http");
        server.resume();
        server
    }

    /// One that is yet to start, and so can be given more arguments.
    pub(super) fn prepare(scheme: &'static str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("nigh-etcd-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self { folder, scheme, port: free_port(), arguments: Vec::new(), child: None }
    }

    pub(super) fn argue(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    pub(super) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Starts it, on what it has kept.
    pub(super) fn resume(&mut self) {
        let program = env::var_os("ETCD").unwrap_or_else(|| "etcd".into());
        let peers = format!("http://127.0.0.1:{}", free_port());
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let child = Command::new(&program)
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--listen-client-urls", &self.url(), "--advertise-client-urls", &self.url()])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}")])
            .args(&self.arguments)
            .env("ETCD_UNSUPPORTED_ARCH", env::consts::ARCH)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{} (Debian: etcd-server) cannot be started: {error}", program.display())
        }));
    }

    /// Ends it as an operator does.
    pub(super) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(told.success());
        child.wait().unwrap();
    }

    /// Ends it as a crash does.
    pub(super) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
