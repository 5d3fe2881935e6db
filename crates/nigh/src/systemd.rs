//! What a service manager is told, and what it asks for: sd_notify(3), by datagrams of our own.
//! Without NOTIFY_SOCKET in the environment nobody is told anything.

use std::{
    env,
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use nigh_net::server::BEAT;
use rustix::time::{ClockId, clock_gettime};
use tracing::{debug, warn};

/// The shortest time between two pings: each worker must have gone round in between.
const PING_MIN: Duration = BEAT.saturating_mul(2);

/// The service manager that started this process, if there is one.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let opened = address(&name).and_then(|to| Ok((UnixDatagram::unbound()?, to)));
            opened
                .inspect_err(|error| warn!(%error, "NOTIFY_SOCKET cannot be used: nobody is told"))
                .ok()
        });
        let variable = |name| env::var(name).ok();
        let watchdog = watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"))
            .filter(|_| socket.is_some());
        Self { socket, watchdog }
    }

    /// How often it wants to hear that all is well, if it does: twice in its limit (sd_watchdog_enabled(3)).
    pub(crate) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// All is well.
    pub(crate) fn ping(&self) {
        self.tell("WATCHDOG=1");
    }

    /// The edge serves.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The edge cannot serve yet, for this reason; it may take `more` time from now on.
    pub(crate) fn waiting(&self, status: &str, more: Duration) {
        self.tell(&format!("STATUS={status}\nEXTEND_TIMEOUT_USEC={}", more.as_micros()));
    }

    /// The settings are read again; [`Self::ready`] ends that.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// The process of this id is the service from now on.
    pub(crate) fn replaced_by(&self, process: u32) {
        self.tell(&format!("MAINPID={process}"));
    }

    /// The edge comes to its end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    fn tell(&self, state: &str) {
        let Some((socket, to)) = &self.socket else { return };
        // Whether it is heard changes nothing here.
        if let Err(error) = socket.send_to_addr(state.as_bytes(), to) {
            debug!(%error, state, "the service manager was not told");
        }
    }
}

/// A path, or a name of Linux' own that begins with `@` (unix(7)).
fn address(name: &OsString) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is neither a path nor a name")),
    }
}

/// How often to ping, by the variables of sd_watchdog_enabled(3).
fn watchdog(micros: Option<String>, process: Option<String>) -> Option<Duration> {
    let micros: u64 = micros?.parse().ok()?;
    if process.is_some_and(|it| it.parse() != Ok(std::process::id())) {
        return None;
    }
    let every = Duration::from_micros(micros / 2);
    if every < PING_MIN {
        warn!("the watchdog's time is too short for a busy edge: WatchdogSec wants 2s at least");
    }
    Some(every.max(PING_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let limit = || Some("30000000".to_owned());
        let own = std::process::id();
        assert_eq!(watchdog(limit(), Some(own.to_string())), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(limit(), None), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(limit(), Some((own + 1).to_string())), None);
        assert_eq!(watchdog(None, None), None);
        assert_eq!(watchdog(Some("1000".to_owned()), None), Some(PING_MIN));
    }

    #[test]
    fn a_manager_is_found_by_path_and_by_abstract_name() {
        assert!(address(&"/run/notify".into()).unwrap().as_pathname().is_some());
        assert_eq!(address(&"@notify".into()).unwrap().as_abstract_name(), Some(&b"notify"[..]));
        assert!(address(&"notify".into()).is_err());
    }
}
