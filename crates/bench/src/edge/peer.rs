//! The caches that are compared: how each is set up, started, waited for and stopped.

use crate::{
    host::{Program, Scratch},
    http1::Connection,
    process::{Place, Process},
};
use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long a peer may take to answer for the first time.
const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// Ports are looked for from here on; connections take theirs from 32768 on.
const PORTS: std::ops::Range<u16> = 18_000..30_000;
/// nigh's share of memory; the peers have as much or more.
const NIGH_MEMORY: &str = "6GiB";
const VARNISH_STORAGE: &str = "malloc,6G";
const TRAFFIC_SERVER_DISK: &str = "8G";
/// Where Debian's package keeps the settings that a Traffic Server needs beside ours.
const TRAFFIC_SERVER_SETTINGS: &str = "/etc/trafficserver";

/// One of those who are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// nigh
    Nigh,
    /// HAProxy
    Haproxy,
    /// nginx with sendfile, as its documentation recommends; waits 40 ms within larger responses
    Nginx,
    /// nginx without sendfile and with two buffers of 128 KiB: faster for objects up to 100 KiB
    NginxBuffers,
    /// Apache Traffic Server
    TrafficServer,
    /// Varnish
    Varnish,
}

impl Kind {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 6] = [
        Self::Nigh,
        Self::Haproxy,
        Self::Nginx,
        Self::NginxBuffers,
        Self::TrafficServer,
        Self::Varnish,
    ];

    /// The program of others that it is, if it is one.
    pub(crate) fn program(self) -> Option<Program> {
        let program = |name, package| Some(Program { name, package });
        match self {
            Self::Nigh => None,
            Self::Haproxy => program("haproxy", "haproxy"),
            Self::Nginx | Self::NginxBuffers => program("nginx", "nginx"),
            Self::TrafficServer => program("traffic_server", "trafficserver"),
            Self::Varnish => program("varnishd", "varnish"),
        }
    }

    /// Whether it speaks TLS.
    pub(crate) fn has_tls(self) -> bool {
        self != Self::Varnish
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nigh => "nigh",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::NginxBuffers => "nginx-buffers",
            Self::TrafficServer => "traffic-server",
            Self::Varnish => "varnish",
        })
    }
}

/// Why a peer does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its files cannot be written, or it cannot be run.
    #[error("{0} cannot be set up")]
    Setup(String, #[source] io::Error),
    /// No certificate for TLS.
    #[error("no certificate")]
    Certificate(#[source] rcgen::Error),
    /// It ended, or did not answer in time.
    #[error("{name} does not serve; it said: {said}")]
    Silent {
        /// Who.
        name: String,
        /// The last lines of its log.
        said: String,
    },
}

/// What all peers are given alike.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) nigh: &'a Path,
    /// The peers' core.
    pub(crate) core: usize,
    pub(crate) origin_port: u16,
}

impl Site<'_> {
    /// Writes a certificate and its key, which every peer uses: NIST's P-256, which all can.
    pub(crate) fn write_certificate(&self) -> Result<(), Error> {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(Error::Certificate)?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let both = format!("{certificate}{key}");
        for (path, text) in
            [(self.certificate(), &certificate), (self.key(), &key), (self.both(), &both)]
        {
            fs::write(path, text).map_err(|error| Error::Setup("TLS".into(), error))?;
        }
        Ok(())
    }

    fn certificate(&self) -> PathBuf {
        self.scratch.files.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.scratch.files.join("key.pem")
    }

    fn both(&self) -> PathBuf {
        self.scratch.files.join("certificate-and-key.pem")
    }
}

/// A program that serves HTTP, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    folders: Folders,
    address: SocketAddr,
}

impl Server {
    /// Starts `command`, and waits until `path` is answered at `port`.
    pub(crate) fn start(
        name: &str,
        folders: Folders,
        command: Command,
        port: u16,
        path: &str,
    ) -> Result<Self, Error> {
        let log = folders.files.join("output.log");
        let setup = |error| Error::Setup(name.to_owned(), error);
        let process = Process::start(command, &log).map_err(setup)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut server = Self { process, folders, address };
        let deadline = Instant::now() + START_LIMIT;
        while server.process.is_running() && Instant::now() < deadline {
            let answer = Connection::open(address).and_then(|mut it| it.get(path, None));
            if answer.is_ok_and(|response| response.is_success()) {
                return Ok(server);
            }
            thread::sleep(POLL);
        }
        Err(Error::Silent { name: name.to_owned(), said: server.folders.last_words() })
    }

    /// Where it serves HTTP in clear.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its processes, all of them.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.process.tree()
    }
}

/// One of those who are compared, serving.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) server: Server,
    tls: SocketAddr,
}

impl Peer {
    /// Starts it with an empty cache.
    pub(crate) fn start(kind: Kind, site: &Site<'_>) -> Result<Self, Error> {
        let name = kind.to_string();
        let setup = |error| Error::Setup(name.clone(), error);
        let folders = Folders::new(site.scratch, &name).map_err(setup)?;
        let [port, tls_port] = free_ports().map_err(setup)?;
        let template = Template { site, folders: &folders, port, tls_port };
        let command = template.command(kind).map_err(setup)?;
        let server = Server::start(&name, folders, command, port, "/o/1k")?;
        Ok(Self { kind, server, tls: SocketAddr::from((Ipv4Addr::LOCALHOST, tls_port)) })
    }

    /// `path` on it as a URL, in clear.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// `path` on it as a URL, over TLS.
    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://{}{path}", self.tls)
    }
}

/// The folders of one server, which go with it.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) files: PathBuf,
    pub(crate) memory: PathBuf,
}

impl Folders {
    /// Makes them, empty.
    pub(crate) fn new(scratch: &Scratch, name: &str) -> io::Result<Self> {
        let folders = Self { files: scratch.files.join(name), memory: scratch.memory.join(name) };
        folders.remove();
        fs::create_dir_all(&folders.files)?;
        fs::create_dir_all(&folders.memory)?;
        Ok(folders)
    }

    fn remove(&self) {
        // What stays behind goes with the scratch folder.
        let _ = fs::remove_dir_all(&self.files);
        let _ = fs::remove_dir_all(&self.memory);
    }

    fn last_words(&self) -> String {
        let text = |name: &str| fs::read_to_string(self.files.join(name)).unwrap_or_default();
        let text = text("output.log") + &text("error.log");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.stop();
        self.folders.remove();
    }
}

/// Fills in the settings of a peer.
pub(crate) struct Template<'a> {
    pub(crate) site: &'a Site<'a>,
    pub(crate) folders: &'a Folders,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
}

impl Template<'_> {
    fn command(&self, kind: Kind) -> io::Result<Command> {
        let place = Place::core(self.site.core);
        match kind {
            Kind::Nigh => Ok(self.nigh(place)),
            Kind::Haproxy => {
                let settings = self.write("haproxy.cfg", include_str!("../../conf/haproxy.cfg"))?;
                let mut command = place.command("haproxy");
                command.arg("-db").arg("-f").arg(settings);
                Ok(command)
            }
            Kind::Nginx => self.nginx(place, "sendfile on; tcp_nopush on;"),
            Kind::NginxBuffers => {
                self.nginx(place, "sendfile off; tcp_nopush off; output_buffers 2 128k;")
            }
            Kind::TrafficServer => self.traffic_server(place),
            Kind::Varnish => {
                let settings = self.write("varnish.vcl", include_str!("../../conf/varnish.vcl"))?;
                let mut command = place.command("varnishd");
                command.arg("-F").arg("-n").arg(self.folders.files.join("work"));
                command.arg("-a").arg(format!("127.0.0.1:{}", self.port)).arg("-f").arg(settings);
                command.args(["-s", VARNISH_STORAGE, "-T", "none", "-p", "thread_pools=1"]);
                command.args(["-p", "thread_pool_min=100", "-p", "thread_pool_max=1000"]);
                Ok(command)
            }
        }
    }

    fn nigh(&self, place: Place) -> Command {
        let mut command = place.command(self.site.nigh);
        command.arg("edge").arg("--to").arg(format!("http://127.0.0.1:{}", self.site.origin_port));
        command.arg("--listen").arg(format!("http://127.0.0.1:{}", self.port));
        command.arg("--listen").arg(format!("https://127.0.0.1:{}", self.tls_port));
        command.arg("--tls-cert").arg(self.site.certificate());
        command.arg("--tls-key").arg(self.site.key());
        command.args(["--memory", NIGH_MEMORY, "--workers", "1"]);
        command
    }

    fn nginx(&self, place: Place, output: &str) -> io::Result<Command> {
        let text = include_str!("../../conf/nginx.conf").replace("@OUTPUT@", output);
        let settings = self.write("nginx.conf", &text)?;
        Ok(nginx(place, &self.folders.files, &settings))
    }

    fn traffic_server(&self, place: Place) -> io::Result<Command> {
        let etc = self.folders.files.join("etc");
        for folder in ["etc", "log", "run"] {
            fs::create_dir_all(self.folders.files.join(folder))?;
        }
        for entry in fs::read_dir(TRAFFIC_SERVER_SETTINGS)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), etc.join(entry.file_name()))?;
            }
        }
        let records = include_str!("../../conf/trafficserver.records.config");
        self.write("etc/records.config", records)?;
        self.write("etc/remap.config", "map / http://127.0.0.1:@ORIGIN_PORT@/\n")?;
        self.write("etc/storage.config", &format!("@CACHE@ {TRAFFIC_SERVER_DISK}\n"))?;
        self.write("etc/ssl_multicert.config", "ssl_cert_name=both.pem dest_ip=*\n")?;
        fs::copy(self.site.both(), self.folders.files.join("both.pem"))?;
        let root = include_str!("../../conf/trafficserver.runroot.yaml");
        let root = self.write("runroot.yaml", root)?;
        let mut command = place.command("traffic_server");
        command.arg(format!("--run-root={}", root.display()));
        Ok(command)
    }

    /// Writes a file of settings, with the places in it filled.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folders.files.join(name);
        let filled = text
            .replace("@DIR@", &self.folders.files.to_string_lossy())
            .replace("@CACHE@", &self.folders.memory.to_string_lossy())
            .replace("@PORT@", &self.port.to_string())
            .replace("@TLS_PORT@", &self.tls_port.to_string())
            .replace("@SLOW_PORT@", &self.tls_port.to_string())
            .replace("@ORIGIN_PORT@", &self.site.origin_port.to_string())
            .replace("@CERTIFICATE@", &self.site.certificate().to_string_lossy())
            .replace("@KEY@", &self.site.key().to_string_lossy())
            .replace("@CERTIFICATE_AND_KEY@", &self.site.both().to_string_lossy());
        fs::write(&path, filled)?;
        Ok(path)
    }
}

/// nginx in the foreground with these settings.
pub(crate) fn nginx(place: Place, folder: &Path, settings: &Path) -> Command {
    let mut command = place.command("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(settings).args(["-g", "daemon off;"]);
    command
}

/// Ports that nobody listens on at the moment, and that were not handed out before.
pub(crate) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    let mut candidates = std::iter::from_fn(|| Some(NEXT.fetch_add(1, Ordering::Relaxed)))
        .take_while(|port| PORTS.contains(port));
    let mut ports = [0; N];
    for port in &mut ports {
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        *port = candidates.find(is_free).ok_or(io::ErrorKind::AddrInUse)?;
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_handed_out_once() {
        let ([a, b], [c]) = (free_ports().unwrap(), free_ports().unwrap());
        assert!(a < b && b < c, "{a} {b} {c}");
    }
}
