//! nigh's edges as processes, alone or as a cluster, with certificates of an authority that is made here.

use super::{Error, PEER_CORE, last_words};
use crate::{
    edge::free_ports,
    host::{Scratch, check_interrupt},
    http1::Connection,
    process::{Place, Process, cpu_seconds},
};
use nigh_load::Origin;
use serde_json::Value;
use std::{
    cell::Cell,
    fs, io,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long edges may take until they answer, and until all have heard of each other.
const START_LIMIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(20);

/// What all tests share.
pub(super) struct Lab<'a> {
    pub(super) nigh: &'a Path,
    pub(super) scratch: &'a Scratch,
    pub(super) origin: &'a Origin,
    pub(super) authority: Authority,
}

/// The authority of the cluster `eu`, which lets in so many edges as are wanted.
pub(super) struct Authority {
    nigh: PathBuf,
    folder: PathBuf,
    joined: Cell<usize>,
    _serving: Process,
}

impl Authority {
    pub(super) fn start(nigh: &Path, scratch: &Scratch) -> Result<Self, Error> {
        let unusable = |error| Error::Unusable("no authority for the cluster".into(), error);
        let folder = scratch.files.join("joined");
        let dir = folder.join("authority");
        fs::create_dir_all(&folder).map_err(unusable)?;
        let [port] = free_ports().map_err(unusable)?;
        let address = format!("127.0.0.1:{port}");
        let made = Command::new(nigh)
            .args(["cluster", "init", "--name", "eu", "--address", &address, "--dir"])
            .arg(&dir)
            .stdout(Stdio::null())
            .status();
        made.map_err(unusable).and_then(|made| ended(made.success()).map_err(unusable))?;
        let mut command = Place::core(PEER_CORE).command(nigh);
        command.args(["cluster", "serve", "--listen", &address, "--dir"]).arg(&dir);
        let serving = Process::start(command, &folder.join("authority.log")).map_err(unusable)?;
        Ok(Self { nigh: nigh.to_owned(), folder, joined: Cell::new(0), _serving: serving })
    }

    /// The directory of an edge that has joined, counted from 1.
    fn joined(&self, number: usize) -> Result<PathBuf, Error> {
        let unusable = |error| Error::Unusable(format!("eu-{number} does not join"), error);
        while self.joined.get() < number {
            self.join(self.joined.get() + 1).map_err(unusable)?;
            self.joined.set(self.joined.get() + 1);
        }
        Ok(self.folder.join(format!("eu-{number}")))
    }

    fn join(&self, number: usize) -> io::Result<()> {
        let dir = self.folder.join("authority");
        let token =
            Command::new(&self.nigh).args(["cluster", "token", "--dir"]).arg(dir).output()?;
        let mut joining = Command::new(&self.nigh)
            .args(["cluster", "join", "-", "--name", &format!("eu-{number}"), "--dir"])
            .arg(self.folder.join(format!("eu-{number}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        joining.stdin.take().expect("it is piped").write_all(&token.stdout)?;
        ended(joining.wait()?.success())
    }
}

fn ended(well: bool) -> io::Result<()> {
    if well { Ok(()) } else { Err(io::Error::other("nigh ended with a failure")) }
}

/// How edges stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bond {
    /// None knows of another.
    Alone,
    /// They are one cluster.
    Ring,
    /// They are, and forget together through the etcd at this port.
    Forgetting(u16),
}

/// Running edges.
pub(super) struct Fleet<'l> {
    lab: &'l Lab<'l>,
    bond: Bond,
    /// For each edge that is listed, whether it runs or not.
    ports: Vec<[u16; 3]>,
    memory_bytes: u64,
    edges: Vec<Process>,
}

/// Nobody needs them any more, and to leave one after the other would take each of them seconds.
impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        self.edges.iter_mut().for_each(Process::kill);
    }
}

impl<'l> Fleet<'l> {
    /// Lists so many edges, and starts the first `running` of them, with so much memory each.
    pub(super) fn start(
        lab: &'l Lab<'l>,
        bond: Bond,
        (listed, running): (usize, usize),
        memory_bytes: u64,
    ) -> Result<Self, Error> {
        let unusable = |error| Error::Unusable("no ports are free".into(), error);
        let ports = (0..listed).map(|_| free_ports()).collect::<io::Result<_>>();
        let ports = ports.map_err(unusable)?;
        let mut fleet = Self { lab, bond, ports, memory_bytes, edges: Vec::new() };
        for _ in 0..running {
            fleet.begin()?;
        }
        (0..running).try_for_each(|edge| fleet.wait(edge))?;
        fleet.settle()?;
        Ok(fleet)
    }

    /// Starts the next one of those that are listed, and waits until all have heard of it.
    pub(super) fn add(&mut self) -> Result<(), Error> {
        self.begin()?;
        self.wait(self.edges.len() - 1)?;
        self.settle()
    }

    /// Where clients come in, at those that run.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let running = self.ports.iter().take(self.edges.len());
        running.map(|[http, ..]| (Ipv4Addr::LOCALHOST, *http).into()).collect()
    }

    /// Processor seconds of them all so far.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.edges.iter().map(|edge| cpu_seconds(&edge.tree())).sum()
    }

    /// What an edge says at its admin address.
    pub(super) fn ask(&self, edge: usize, path: &str) -> Result<Value, Error> {
        self.json(edge, |connection| connection.text(path))
    }

    /// Tells it something there.
    pub(super) fn tell(&self, edge: usize, path: &str) -> Result<Value, Error> {
        self.json(edge, |connection| connection.post(path))
    }

    fn json(
        &self,
        edge: usize,
        ask: impl Fn(&mut Connection) -> io::Result<String>,
    ) -> Result<Value, Error> {
        let name = format!("eu-{}", edge + 1);
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[edge][1]));
        let text = Connection::open(admin).and_then(|mut connection| ask(&mut connection));
        let text = text.map_err(|error| Error::Unusable(format!("{name} is silent"), error))?;
        serde_json::from_str(&text).map_err(|_| Error::Unreadable(name))
    }

    fn begin(&mut self) -> Result<(), Error> {
        let number = self.edges.len() + 1;
        let unusable = |error| Error::Unusable(format!("eu-{number} cannot be started"), error);
        let joined = self.lab.authority.joined(number)?;
        let file = self.log(number).with_extension("toml");
        fs::write(&file, self.settings(number, &joined)).map_err(unusable)?;
        let mut command = Place::core(PEER_CORE).command(self.lab.nigh);
        command.env("NIGH_LOG", "warn").arg("run").arg(&file);
        self.edges.push(Process::start(command, &self.log(number)).map_err(unusable)?);
        Ok(())
    }

    fn log(&self, number: usize) -> PathBuf {
        self.lab.scratch.files.join(format!("eu-{number}.log"))
    }

    fn settings(&self, number: usize, joined: &Path) -> String {
        let [http, admin, siblings] = self.ports[number - 1];
        let (memory, origin) = (self.memory_bytes, self.lab.origin.address());
        let listed = self.ports.iter().enumerate();
        let listed = listed.map(|(at, [.., port])| format!("\"eu-{}=127.0.0.1:{port}\"", at + 1));
        let listed = listed.collect::<Vec<_>>().join(", ");
        let dir = joined.display();
        let cluster = format!(
            "[cluster.eu]\nedges = [{listed}]\nlisten = \"127.0.0.1:{siblings}\"\ndir = \"{dir}\"\n"
        );
        let cluster = match self.bond {
            Bond::Alone => String::new(),
            Bond::Ring => cluster,
            Bond::Forgetting(port) => format!("{cluster}control = \"etcd://127.0.0.1:{port}\"\n"),
        };
        format!(
            "[node]\nname = \"eu-{number}\"\nlisten = \"http://127.0.0.1:{http}\"\n\
             admin = \"127.0.0.1:{admin}\"\nworkers = 1\n[cache]\nmemory = \"{memory}\"\n{cluster}\
             [[site]]\nhost = \"*\"\norigin = \"http://{origin}\"\n"
        )
    }

    fn wait(&mut self, edge: usize) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        while self.ask(edge, "/v1/status").is_err() {
            check_interrupt()?;
            if !self.edges[edge].is_running() || Instant::now() > deadline {
                return Err(self.silent(edge));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until the ring of each has all that run, and nobody else.
    fn settle(&self) -> Result<(), Error> {
        if self.bond == Bond::Alone {
            return Ok(());
        }
        let deadline = Instant::now() + START_LIMIT;
        for edge in 0..self.edges.len() {
            while self.on_ring(edge)? != self.edges.len() {
                check_interrupt()?;
                if Instant::now() > deadline {
                    return Err(self.silent(edge));
                }
                thread::sleep(POLL);
            }
        }
        Ok(())
    }

    fn on_ring(&self, edge: usize) -> Result<usize, Error> {
        let status = self.ask(edge, "/v1/status")?;
        let edges = status["cluster"]["edges"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(edges.iter().filter(|edge| edge["on_ring"] == true && edge["state"] == "up").count())
    }

    fn silent(&self, edge: usize) -> Error {
        let number = edge + 1;
        Error::Silent { name: format!("eu-{number}"), said: last_words(&self.log(number)) }
    }
}
