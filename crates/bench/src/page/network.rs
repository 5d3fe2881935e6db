//! Three network namespaces without names, and the links between them. They go when the processes
//! in them have ended, however that comes about: nothing is left to remove.

use super::link::Link;
use std::{
    fs, io,
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The edge, as the client knows it.
pub(crate) const EDGE_FROM_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 2);
/// The site, as the client knows it.
pub(crate) const SITE_FROM_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 2);
/// The site, as the edge knows it.
pub(crate) const SITE_FROM_EDGE: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 2);
const CLIENT_TO_EDGE: Ipv4Addr = Ipv4Addr::new(10, 77, 1, 1);
const CLIENT_TO_SITE: Ipv4Addr = Ipv4Addr::new(10, 77, 2, 1);
const EDGE_TO_SITE: Ipv4Addr = Ipv4Addr::new(10, 77, 3, 1);

const MTU: &str = "1500";
/// Packets that wait for a device of ours: more than a sender has under way.
const DEVICE_QUEUE: &str = "20000";
const START_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);
/// Loopback is needed, and connections learn nothing from those before them.
const PREPARE: &str = "ip link set lo up && echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save";

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No namespace.
    #[error("no network namespace")]
    Namespace(#[source] io::Error),
    /// No link.
    #[error("no link between namespaces (is there a /dev/net/tun?)")]
    Link(#[source] io::Error),
    /// A command failed.
    #[error("{command}: {said}")]
    Command {
        /// Which.
        command: String,
        /// What it said.
        said: String,
    },
}

/// A network of its own, held by a process that does nothing.
#[derive(Debug)]
pub(crate) struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new() -> Result<Self, Error> {
        // It ends when its standard input does: with us.
        let holder = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(Error::Namespace)?;
        let namespace = Self { holder };
        let network = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).ok();
        let deadline = Instant::now() + START_LIMIT;
        while network(&namespace.pid().to_string()) == network("self") {
            if Instant::now() > deadline {
                return Err(Error::Namespace(io::ErrorKind::TimedOut.into()));
            }
            thread::sleep(POLL);
        }
        namespace.run(&["sh", "-c", PREPARE])?;
        Ok(namespace)
    }

    /// The process that holds it.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    fn run(&self, words: &[&str]) -> Result<(), Error> {
        let pid = self.pid().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &pid]).args(words);
        run(command, words)
    }

    fn plug(&self, device: &str, own: Ipv4Addr, other: Ipv4Addr) -> Result<(), Error> {
        let words = ["link", "set", "dev", device, "netns", &self.pid().to_string()];
        let mut command = Command::new("ip");
        command.args(words);
        run(command, &words)?;
        let (own, other) = (own.to_string(), other.to_string());
        self.run(&["ip", "address", "add", &own, "peer", &other, "dev", device])?;
        let up = ["ip", "link", "set", device, "mtu", MTU, "txqueuelen", DEVICE_QUEUE, "up"];
        self.run(&up)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

fn run(mut command: Command, words: &[&str]) -> Result<(), Error> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::Namespace)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command { command: words.join(" "), said })
}

/// Client, edge and site.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) client: Namespace,
    pub(crate) edge: Namespace,
    pub(crate) site: Namespace,
    near: Link,
    far: [Link; 2],
}

impl Network {
    /// Makes the namespaces and the links, which carry so much in each direction.
    pub(crate) fn new(bits_per_second: u64) -> Result<Self, Error> {
        let link = |letter| {
            let name = format!("nb{}{letter}", std::process::id());
            Link::new(&name, bits_per_second).map_err(Error::Link)
        };
        let network = Self {
            client: Namespace::new()?,
            edge: Namespace::new()?,
            site: Namespace::new()?,
            near: link("n")?,
            far: [link("f")?, link("o")?],
        };
        let Self { client, edge, site, near, far: [direct, behind] } = &network;
        client.plug(&near.ends[0], CLIENT_TO_EDGE, EDGE_FROM_CLIENT)?;
        edge.plug(&near.ends[1], EDGE_FROM_CLIENT, CLIENT_TO_EDGE)?;
        client.plug(&direct.ends[0], CLIENT_TO_SITE, SITE_FROM_CLIENT)?;
        site.plug(&direct.ends[1], SITE_FROM_CLIENT, CLIENT_TO_SITE)?;
        edge.plug(&behind.ends[0], EDGE_TO_SITE, SITE_FROM_EDGE)?;
        site.plug(&behind.ends[1], SITE_FROM_EDGE, EDGE_TO_SITE)?;
        Ok(network)
    }

    /// Puts the edge so near to the client, and the site so far from both.
    pub(crate) fn set_round_trips(&self, near: Duration, far: Duration) {
        self.near.set_round_trip(near);
        self.far.iter().for_each(|link| link.set_round_trip(far));
    }
}

/// Whether anybody listens on `port` in the network of the process `pid`.
pub(crate) fn listens(pid: u32, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        has_listener(&text, port)
    })
}

/// A line of proc_net_tcp(5): number, local address, remote address, state; `0A` is LISTEN.
fn has_listener(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|local| local.rsplit_once(':'));
        let local = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        local == Some(port) && words.nth(1) == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_told_from_a_connection() {
        let table = "  sl  local_address rem_address   st tx_queue\n   \
                     0: 00000000:0050 00000000:0000 0A 00000000:00000000\n   \
                     1: 0100007F:1F90 0100007F:C350 01 00000000:00000000\n";
        assert!(has_listener(table, 80));
        assert!(!has_listener(table, 8080));
        assert!(!has_listener(table, 443));
    }
}
