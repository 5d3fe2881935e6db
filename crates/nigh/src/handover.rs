//! From one process to the next: the new one gets the listening sockets by the protocol of socket
//! activation (sd_listen_fds(3)), says when it is ready, and is told when the old one has stopped.
//!
//! ```text
//! old                                   new
//! SIGUSR2: start it, with the sockets   bind what is new, open the log
//!          <------- READY ------------
//! disk: write what waits;
//! admin: finish what was asked          (connections wait in the sockets' queues)
//! stop accepting, let go of the disk
//!          -------- GO -------------->  take up the disk, accept
//! drain
//! ```
//! The line between them is one more descriptor, named [`LINE`]. If the new process ends, or is late,
//! the old one goes on. If the old one ends, the new one need not wait for it.

pub(crate) mod disk;
mod spawn;

use std::{
    env,
    io::{ErrorKind, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use anyhow::Context;
use nigh_net::inherited::Inherited;
use tokio::io::AsyncReadExt;

use spawn::Process;
pub(crate) use spawn::Program;

use crate::{admin, settings::AdminAddress};

/// The name of the descriptor over which the two processes speak.
const LINE: &str = "handover";

/// How long a new process may take until it is ready: it reads settings and certificates, and binds.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How long the old process may take to stop after that; more than its own limits for the disk.
const GO_LIMIT: Duration = Duration::from_secs(60);

/// How long a process that failed may take to say why and end, and how often that is looked for.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);
const LAST_WORDS_LOOK: Duration = Duration::from_millis(5);

const READY: &[u8] = b"READY=1\n";
const GO: &[u8] = b"GO\n";

/// Descriptors that are taken over at most: an address for each of a thousand workers.
const DESCRIPTORS_MAX: usize = 4096;

/// The first descriptor that is passed on (sd_listen_fds(3)).
const FIRST: i32 = 3;

/// Why a new process does not take over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// It could not be started.
    #[error("it cannot be started")]
    Start(#[from] std::io::Error),
    /// It ended.
    #[error("it ended; its own last words say why")]
    Ended,
    /// It took too long.
    #[error("it was not ready after {} seconds", READY_LIMIT.as_secs())]
    Late,
}

/// What this process was given at its start.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) sockets: Inherited,
    line: Option<UnixStream>,
}

impl Given {
    /// What the environment says was given, by systemd or by the process that this one replaces. To be
    /// called once, before anything else opens descriptors.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let variable = |name| env::var(name).ok();
        let for_us = variable("LISTEN_PID").and_then(|it| it.parse().ok());
        if for_us != Some(std::process::id()) {
            return Ok(Self::default());
        }
        let count: usize = variable("LISTEN_FDS")
            .and_then(|count| count.parse().ok())
            .filter(|count| *count <= DESCRIPTORS_MAX)
            .with_context(|| format!("LISTEN_FDS is no number up to {DESCRIPTORS_MAX}"))?;
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut given = Vec::new();
        for descriptor in spawn::passed_on(count)? {
            given.push((names.next().unwrap_or_default(), descriptor));
        }
        let is_line = |(name, _): &mut (String, OwnedFd)| name == LINE;
        let line = given.extract_if(.., is_line).next().map(|(_, line)| UnixStream::from(line));
        Ok(Self { sockets: Inherited::new(given), line })
    }

    /// Whether another process still serves, and waits for this one.
    pub(crate) const fn replaces(&self) -> bool {
        self.line.is_some()
    }

    /// The socket for the admin address: one that was given, or a new one.
    pub(crate) fn admin(&mut self, address: &AdminAddress) -> anyhow::Result<admin::Bound> {
        match admin::inherited(address, &mut self.sockets)? {
            Some(given) => Ok(given),
            None => admin::bind(address),
        }
    }

    /// Closes the sockets that nobody has taken, tells the process that is replaced, if there is one,
    /// that this one is ready, and waits until it has stopped.
    pub(crate) fn take_over(self) -> anyhow::Result<()> {
        self.sockets.close();
        let Some(mut line) = self.line else { return Ok(()) };
        line.set_nonblocking(false)?;
        line.set_read_timeout(Some(GO_LIMIT))?;
        let mut word = [0; GO.len()];
        match line.write_all(READY).and_then(|()| line.read_exact(&mut word)) {
            Ok(()) => Ok(()),
            // It is gone: its sockets are ours all the same.
            Err(error) if is_end(error.kind()) => Ok(()),
            Err(error) => Err(error).context("the old process does not make room"),
        }
    }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// A process that was started to take this one's place. Dropped, it is ended.
#[derive(Debug)]
pub(crate) struct Successor {
    process: Process,
    line: tokio::net::UnixStream,
}

impl Successor {
    /// Starts `program` with `sockets`, each under its name. Must be called within a runtime.
    pub(crate) fn start(program: &Program, sockets: Vec<(&str, OwnedFd)>) -> Result<Self, Failed> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        let line = tokio::net::UnixStream::from_std(near)?;
        let mut descriptors = sockets;
        descriptors.push((LINE, far.into()));
        Ok(Self { process: program.start(descriptors)?, line })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self) -> Result<(), Failed> {
        let mut word = [0; READY.len()];
        match tokio::time::timeout(READY_LIMIT, self.line.read_exact(&mut word)).await {
            Ok(Ok(_)) if word == READY => Ok(()),
            Ok(_) => {
                self.last_words().await?;
                Err(Failed::Ended)
            }
            Err(_) => {
                self.process.end()?;
                Err(Failed::Late)
            }
        }
    }

    /// Whether it has not ended since.
    pub(crate) fn is_there(&mut self) -> Result<(), Failed> {
        if self.process.has_ended()? { Err(Failed::Ended) } else { Ok(()) }
    }

    /// Waits for the end of a process that has closed the line, so that it can say why; not for long.
    async fn last_words(&self) -> std::io::Result<()> {
        let deadline = Instant::now() + LAST_WORDS_LIMIT;
        while Instant::now() < deadline {
            if self.process.has_ended()? {
                return Ok(());
            }
            tokio::time::sleep(LAST_WORDS_LOOK).await;
        }
        self.process.end()
    }

    /// Tells it that this process has stopped; and to read its settings again, if others were said since
    /// it was started. From here on it lives on its own.
    pub(crate) fn go(self, reload: bool) -> std::io::Result<()> {
        if reload {
            self.process.hang_up()?;
        }
        self.process.let_go();
        let mut line = self.line.into_std()?;
        line.set_nonblocking(false)?;
        line.write_all(GO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: UnixStream) -> Given {
        Given { sockets: Inherited::default(), line: Some(line) }
    }

    #[test]
    fn a_new_process_says_that_it_is_ready_and_waits_for_the_old_one() {
        let (mut old, new) = UnixStream::pair().unwrap();
        let waiting = std::thread::spawn(|| given(new).take_over());
        let mut word = [0; READY.len()];
        old.read_exact(&mut word).unwrap();
        assert_eq!(word, READY);
        assert!(!waiting.is_finished());
        old.write_all(GO).unwrap();
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_new_process_does_not_wait_for_one_that_is_gone() {
        let (old, new) = UnixStream::pair().unwrap();
        drop(old);
        given(new).take_over().unwrap();
    }

    #[test]
    fn a_process_that_is_never_ready_is_ended_and_told_of() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::pause();
            let (near, _far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let line = tokio::net::UnixStream::from_std(near).unwrap();
            let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            let process = Process::of(rustix::process::Pid::from_child(&child)).unwrap();
            let mut successor = Successor { process, line };
            assert!(matches!(successor.ready().await, Err(Failed::Late)));
            assert!(child.try_wait().unwrap().is_some());
        });
    }
}
