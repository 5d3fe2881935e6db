//! The running edges of a demo: in this process, or each in one of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use http::Method;
use nigh_net::control::redb::Redb;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::{
    clusters::{CONTROL, Planned},
    place::{Found, FoundEdge, Place},
};
use crate::{
    control_state::ControlState,
    edge::{Edge, Opened, Stores},
    handover::Given,
    settings::{self, Kept},
    shared_settings, small_http as small,
    systemd::Manager,
};

/// How long a process may take until it answers.
const START_MAX: Duration = Duration::from_secs(10);

/// How long a process may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(2);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// The last lines of a log that are shown when an edge does not start.
const LINES_SHOWN: usize = 5;

/// All edges, those that live and those that were killed.
pub(super) struct Fleet<'p> {
    pub(super) place: &'p Place,
    origin: std::net::SocketAddr,
    /// None where each edge is a process of its own.
    together: Option<Together>,
    pub(super) edges: Vec<One>,
}

/// The control state of edges that are in one process. A file is one process's, and there it is open
/// once for both clusters, as an etcd is elsewhere.
pub(super) struct Together {
    path: PathBuf,
    file: Arc<Redb>,
}

impl Together {
    /// Makes it in the folder of the edges. It lives as long as the runtime that this is called in.
    pub(super) async fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(CONTROL);
        let file = Redb::open(&path).await;
        let file = file.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, file: Arc::new(file) })
    }
}

/// One edge.
pub(super) struct One {
    pub(super) planned: Planned,
    /// None while it is killed.
    lives: Option<Lives>,
}

enum Lives {
    /// In this process, with a runtime of its own, so that nothing of it goes on when it is killed.
    Here(Box<Edge>, Runtime),
    /// In a process of its own.
    There(Child),
}

impl<'p> Fleet<'p> {
    /// Starts them all, and waits until they answer.
    pub(super) fn start(
        place: &'p Place,
        origin: std::net::SocketAddr,
        planned: Vec<Planned>,
        together: Option<Together>,
    ) -> anyhow::Result<Self> {
        let edges = planned.into_iter().map(|planned| One { planned, lives: None }).collect();
        let mut fleet = Self { place, origin, together, edges };
        let together = fleet.together.as_ref();
        for one in fleet.edges.iter_mut().filter(|one| !one.planned.comes_later) {
            one.start(together)?;
        }
        for one in fleet.edges.iter_mut().filter(|one| !one.planned.comes_later) {
            one.wait()?;
        }
        fleet.publish()?;
        Ok(fleet)
    }

    /// Whether a purge through one edge reaches all.
    pub(super) const fn forgets_together(&self) -> bool {
        self.together.is_some()
    }

    /// Those that were there from the beginning.
    pub(super) fn first(&self) -> impl Iterator<Item = &Planned> {
        self.edges.iter().map(|one| &one.planned).filter(|planned| !planned.comes_later)
    }

    /// The place of an edge among all.
    pub(super) fn number(&self, name: &str) -> anyhow::Result<usize> {
        let number = self.edges.iter().position(|one| one.planned.name == name);
        number.with_context(|| format!("the demo has no edge `{name}`"))
    }

    /// Kills an edge, as `kill -9` does where it is a process; says how.
    pub(super) fn kill(&mut self, number: usize) -> anyhow::Result<String> {
        let one = &mut self.edges[number];
        let name = one.planned.name.clone();
        one.look()?;
        let said = match one.lives.take() {
            None => bail!("{name} does not live: `nigh revive {name}` starts it"),
            Some(Lives::Here(edge, runtime)) => {
                runtime.shutdown_background();
                edge.cut();
                format!("{name} has ended abruptly")
            }
            Some(Lives::There(mut child)) => {
                child.kill()?;
                child.wait()?;
                format!("{name} was killed: kill -9 {}", child.id())
            }
        };
        self.publish()?;
        Ok(said)
    }

    /// Starts an edge again, and waits until it answers.
    pub(super) fn revive(&mut self, number: usize) -> anyhow::Result<String> {
        let one = &mut self.edges[number];
        let name = one.planned.name.clone();
        one.look()?;
        ensure!(one.lives.is_none(), "{name} lives: `nigh kill {name}` kills it");
        let serves = one.start(self.together.as_ref()).and_then(|()| one.wait());
        if serves.is_err() {
            one.cut();
        }
        self.publish()?;
        serves?;
        Ok(format!("{name} serves again"))
    }

    /// Ends them all.
    pub(super) fn end(mut self) {
        let lives: Vec<Lives> = self.edges.iter_mut().filter_map(|one| one.lives.take()).collect();
        let mut children = Vec::new();
        for one in lives {
            match one {
                Lives::Here(edge, runtime) => {
                    runtime.shutdown_background();
                    edge.cut();
                }
                Lives::There(child) => children.push(child),
            }
        }
        for child in &children {
            terminate(child);
        }
        let deadline = Instant::now() + END_MAX;
        for mut child in children {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(LOOK);
            }
            kill(&mut child);
        }
    }

    /// Has others find what there is now.
    fn publish(&self) -> anyhow::Result<()> {
        let found = |one: &One| FoundEdge {
            name: one.planned.name.clone(),
            http: one.planned.http,
            admin: one.planned.admin,
            pid: match &one.lives {
                Some(Lives::There(child)) => Some(child.id()),
                _ => None,
            },
            lives: one.lives.is_some(),
        };
        self.place.publish(&Found {
            pid: std::process::id(),
            origin: self.origin,
            edges: self.edges.iter().map(found).collect(),
        })
    }
}

impl Drop for Fleet<'_> {
    /// What an error has left: nothing outlives the demo.
    fn drop(&mut self) {
        for one in &mut self.edges {
            if let Some(Lives::There(child)) = &mut one.lives {
                kill(child);
            }
        }
    }
}

impl One {
    /// Sees whether its process has ended by itself, or somebody else has killed it.
    fn look(&mut self) -> anyhow::Result<()> {
        if let Some(Lives::There(child)) = &mut self.lives
            && child.try_wait()?.is_some()
        {
            self.lives = None;
        }
        Ok(())
    }

    /// Ends it at once, if it lives.
    fn cut(&mut self) {
        match self.lives.take() {
            None => {}
            Some(Lives::Here(edge, runtime)) => {
                runtime.shutdown_background();
                edge.cut();
            }
            Some(Lives::There(mut child)) => kill(&mut child),
        }
    }

    fn start(&mut self, together: Option<&Together>) -> anyhow::Result<()> {
        let Planned { name, file, .. } = &self.planned;
        let started = match together {
            Some(together) => here(file, together),
            None => there(file),
        };
        self.lives = Some(started.with_context(|| format!("{name} does not start"))?);
        Ok(())
    }

    /// Waits until it answers, and trusts what it has stored: before, it would ask more of the origin.
    fn wait(&mut self) -> anyhow::Result<()> {
        let Planned { name, admin, file, .. } = &self.planned;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let deadline = Instant::now() + START_MAX;
        loop {
            let answers = runtime.block_on(small::ask(Method::GET, *admin, "/v1/status"));
            let is_trusted = match &self.lives {
                Some(Lives::Here(edge, _)) => edge.running.shared.trusted.allows(0),
                _ => true,
            };
            if is_trusted && answers.is_ok_and(|got| got.status.is_success()) {
                return Ok(());
            }
            let ended = match &mut self.lives {
                Some(Lives::There(child)) => child.try_wait()?,
                _ => None,
            };
            ensure!(
                ended.is_none() && Instant::now() < deadline,
                "{name} does not answer; it said: {}",
                last_words(&file.with_extension("log"))
            );
            std::thread::sleep(LOOK);
        }
    }
}

fn here(file: &Path, together: &Together) -> anyhow::Result<Lives> {
    let mut settings = settings::read(file)?;
    let mut cluster = settings.cluster.take().context("it is in no cluster")?;
    cluster.control = Some(Kept::File(together.path.clone()));
    settings.cluster = Some(cluster.clone());
    let mut given = Given::default();
    let opened = Opened::new(&settings, &mut given)?;
    let stores = Stores::take_over(&settings, given)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build()?;
    let (state, manager) =
        (ControlState::together(&cluster, &together.file), Manager::from_environment());
    let beside = file.parent().unwrap_or_else(|| Path::new(""));
    let agreeing = shared_settings::agree_in(state, &cluster, &settings, beside, &manager);
    let agreed = runtime.block_on(agreeing)?;
    let edge = Edge::start(settings, Some(file), opened, stores, agreed)?;
    runtime.block_on(edge.begin())?;
    Ok(Lives::Here(Box::new(edge), runtime))
}

fn there(file: &Path) -> anyhow::Result<Lives> {
    let log = File::create(file.with_extension("log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    // The other end of its input goes with this process, even if that is killed; the edge ends then.
    command.args(["run", "--until-eof"]).arg(file);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
    Ok(Lives::There(command.spawn()?))
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // That it is gone already is as good.
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
}

fn kill(child: &mut Child) {
    // The same.
    let _ = child.kill();
    let _ = child.wait();
}
