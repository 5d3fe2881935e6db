//! The caches that are compared: how each is set up, started, waited for and stopped.

use crate::{
    host::{Program, Scratch},
    http1::Connection,
    process::{Place, Process},
};
use rustix::fs::{Advice, fadvise};
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
/// What a peer is asked for first.
const FIRST: &str = "/o/1k";
/// Ports are looked for from here on; connections take theirs from 32768 on.
const PORTS: std::ops::Range<u16> = 18_000..30_000;
/// What nigh and Traffic Server may take of a disk; nginx has as much.
const DISK_MIB: u32 = 8 * 1024;
/// What Traffic Server keeps in memory in front of its disk, at most.
const TRAFFIC_SERVER_MEMORY_MIB: u32 = 2 * 1024;
const VARNISH_STORAGE: &str = "malloc,6G";
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

/// Where a peer keeps its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keeping {
    /// nigh's memory, and what Traffic Server has in front of its disk, if that is less than usual.
    /// nginx has no memory of its own.
    pub(crate) memory_mib: u32,
    /// On the file system of the scratch files, instead of a tmpfs; nigh has a disk store then.
    pub(crate) on_disk: bool,
    /// What nigh's disk store may take.
    pub(crate) disk_mib: u32,
}

impl Keeping {
    /// In memory, or what looks like a disk to those who want one; the others have as much or more.
    pub(crate) const MEMORY: Self = Self { memory_mib: 6 * 1024, on_disk: false, disk_mib: 0 };
    /// On a disk, with little memory in front of it.
    pub(crate) const DISK: Self = Self { memory_mib: 128, on_disk: true, disk_mib: DISK_MIB };
    /// In memory, with a disk beneath.
    pub(crate) const BOTH: Self = Self { on_disk: true, disk_mib: DISK_MIB, ..Self::MEMORY };
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
    pub(crate) folders: Folders,
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
        server.wait(name, path, POLL)?;
        Ok(server)
    }

    /// Waits until `path` is answered; looks every `poll`.
    fn wait(&mut self, name: &str, path: &str, poll: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        while self.process.is_running() && Instant::now() < deadline {
            let answer = Connection::open(self.address).and_then(|mut it| it.get(path, None));
            if answer.is_ok_and(|response| response.is_success()) {
                return Ok(());
            }
            thread::sleep(poll);
        }
        Err(Error::Silent { name: name.to_owned(), said: self.folders.last_words() })
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
    keeping: Keeping,
    ports: Ports,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    clear: u16,
    tls: u16,
    /// nigh's admin address.
    admin: u16,
}

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is asked to.
    Asked,
    /// `kill -9`.
    Killed,
}

impl Peer {
    /// Starts it with an empty cache.
    pub(crate) fn start(kind: Kind, site: &Site<'_>, keeping: Keeping) -> Result<Self, Error> {
        let name = kind.to_string();
        let setup = |error| Error::Setup(name.clone(), error);
        let folders = Folders::new(site.scratch, &name, keeping.on_disk).map_err(setup)?;
        let [clear, tls, admin] = free_ports().map_err(setup)?;
        let ports = Ports { clear, tls, admin };
        let command = Template { site, folders: &folders, keeping, ports }.command(kind);
        let server = Server::start(&name, folders, command.map_err(setup)?, clear, FIRST)?;
        Ok(Self { kind, server, keeping, ports })
    }

    /// Ends it, leaving what it has on its disk.
    pub(crate) fn end(&mut self, how: End) {
        match how {
            End::Asked => self.server.process.stop(),
            End::Killed => self.server.process.kill(),
        }
    }

    /// Starts it again with what it has on its disk, and says how long it took until it answered.
    pub(crate) fn start_again(&mut self, site: &Site<'_>) -> Result<Duration, Error> {
        /// Often: this is measured.
        const OFTEN: Duration = Duration::from_millis(1);
        let name = self.kind.to_string();
        let setup = |error| Error::Setup(name.clone(), error);
        let folders = &self.server.folders;
        let template = Template { site, folders, keeping: self.keeping, ports: self.ports };
        let command = template.command(self.kind).map_err(setup)?;
        let log = folders.files.join("output.log");
        let began = Instant::now();
        self.server.process = Process::start(command, &log).map_err(setup)?;
        self.server.wait(&name, FIRST, OFTEN)?;
        Ok(began.elapsed())
    }

    /// Makes the device read again what the peer has written: its files are synced, and their pages
    /// given up. Nobody else's are, so a machine that is shared goes on as it was, and it needs no
    /// root. (What a file is called and where its blocks lie stays known.)
    pub(crate) fn cool(&self) -> io::Result<()> {
        cool(&self.server.folders.cache)
    }

    /// `path` on it as a URL, in clear.
    pub(crate) fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// `path` on it as a URL, over TLS.
    pub(crate) fn https(&self, path: &str) -> String {
        format!("https://{}:{}{path}", Ipv4Addr::LOCALHOST, self.ports.tls)
    }

    /// Where nigh is asked about itself.
    pub(crate) fn admin(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.admin))
    }

    /// One of the numbers of nigh's `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> io::Result<f64> {
        let page = Connection::open(self.admin())?.text("/metrics")?;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn cool(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            cool(&entry.path())?;
        } else if let Ok(file) = fs::File::open(entry.path()) {
            file.sync_data()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// The folders of one server, which go with it.
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) files: PathBuf,
    /// For objects.
    pub(crate) cache: PathBuf,
}

impl Folders {
    /// Makes them, empty: that for objects on a disk or on a tmpfs.
    pub(crate) fn new(scratch: &Scratch, name: &str, on_disk: bool) -> io::Result<Self> {
        let files = scratch.files.join(name);
        let cache = if on_disk { files.join("cache") } else { scratch.memory.join(name) };
        let folders = Self { files, cache };
        folders.remove();
        fs::create_dir_all(&folders.files)?;
        fs::create_dir_all(&folders.cache)?;
        Ok(folders)
    }

    fn remove(&self) {
        // What stays behind goes with the scratch folder.
        let _ = fs::remove_dir_all(&self.files);
        let _ = fs::remove_dir_all(&self.cache);
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
    keeping: Keeping,
    ports: Ports,
}

impl<'a> Template<'a> {
    /// For the origin, which serves at the site's port; what is slow comes from `slow_port`.
    pub(crate) fn of_origin(site: &'a Site<'a>, folders: &'a Folders, slow_port: u16) -> Self {
        let ports = Ports { clear: site.origin_port, tls: slow_port, admin: slow_port };
        Self { site, folders, keeping: Keeping::MEMORY, ports }
    }

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
                command
                    .arg("-a")
                    .arg(format!("127.0.0.1:{}", self.ports.clear))
                    .arg("-f")
                    .arg(settings);
                command.args(["-s", VARNISH_STORAGE, "-T", "none", "-p", "thread_pools=1"]);
                command.args(["-p", "thread_pool_min=100", "-p", "thread_pool_max=1000"]);
                Ok(command)
            }
        }
    }

    fn nigh(&self, place: Place) -> Command {
        let mut command = place.command(self.site.nigh);
        command.arg("edge").arg("--to").arg(format!("http://127.0.0.1:{}", self.site.origin_port));
        command.arg("--listen").arg(format!("http://127.0.0.1:{}", self.ports.clear));
        command.arg("--listen").arg(format!("https://127.0.0.1:{}", self.ports.tls));
        command.arg("--tls-cert").arg(self.site.certificate());
        command.arg("--tls-key").arg(self.site.key());
        command.arg("--admin").arg(format!("127.0.0.1:{}", self.ports.admin));
        command.arg("--memory").arg(format!("{}MiB", self.keeping.memory_mib));
        command.args(["--workers", "1"]);
        if self.keeping.on_disk {
            command.arg("--disk").arg(&self.folders.cache);
            command.arg("--disk-size").arg(format!("{}MiB", self.keeping.disk_mib));
        }
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
        self.write("etc/storage.config", &format!("@CACHE@ {DISK_MIB}M\n"))?;
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
        let memory_mib = self.keeping.memory_mib.min(TRAFFIC_SERVER_MEMORY_MIB);
        let traffic_server_memory = u64::from(memory_mib) << 20;
        let filled = text
            .replace("@DIR@", &self.folders.files.to_string_lossy())
            .replace("@CACHE@", &self.folders.cache.to_string_lossy())
            .replace("@MEMORY@", &traffic_server_memory.to_string())
            .replace("@PORT@", &self.ports.clear.to_string())
            .replace("@TLS_PORT@", &self.ports.tls.to_string())
            .replace("@SLOW_PORT@", &self.ports.tls.to_string())
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
