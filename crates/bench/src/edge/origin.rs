//! The origin of the edge's measurements: nginx on the load's core, and behind it, for what takes
//! its time, an origin of our own that counts.

use super::peer::{Error, Folders, Server, Site, Template, free_ports, nginx};
use crate::{
    http1::Connection,
    origin::{Answer, Origin},
    process::Place,
};
use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

/// What `/slow/` takes.
const SLOW_DELAY: Duration = Duration::from_secs(1);
const SLOW_BODY_BYTES: usize = 1024;
/// The objects below `/o/`.
const OBJECTS: [(&str, usize); 5] =
    [("1k", 1 << 10), ("10k", 10 << 10), ("100k", 100 << 10), ("1m", 1 << 20), ("10m", 10 << 20)];
/// One that is made only if it is asked for: it takes its size in memory.
const LARGEST: &str = "1g";
/// Its length.
pub(crate) const LARGEST_BYTES: u64 = 1 << 30;

/// Serves `/o/1k`, `/o/10k`, `/o/100k`, `/o/1m`, `/o/10m`, the same below `/tagged/` with a tag, and
/// `/slow/*`.
#[derive(Debug)]
pub(crate) struct EdgeOrigin {
    server: Server,
    slow: Origin,
}

impl EdgeOrigin {
    /// Starts it at the site's port, on `core`.
    pub(crate) fn start(site: &Site<'_>, core: usize) -> Result<Self, Error> {
        let setup = |error| Error::Setup("origin".to_owned(), error);
        let [slow_port] = free_ports().map_err(setup)?;
        let slow = slow_origin(slow_port).map_err(setup)?;
        let folders = Folders::new(site.scratch, "origin", false).map_err(setup)?;
        for (name, bytes) in OBJECTS {
            let text: Vec<u8> = (b' '..=b'~').cycle().take(bytes).collect();
            fs::write(folders.cache.join(name), text).map_err(setup)?;
        }
        let template = Template::of_origin(site, &folders, slow_port);
        let text = include_str!("../../conf/origin.nginx.conf");
        let settings = template.write("nginx.conf", text).map_err(setup)?;
        let command = nginx(Place::core(core), &folders.files, &settings);
        let server = Server::start("origin", folders, command, site.origin_port, "/o/1k")?;
        Ok(Self { server, slow })
    }

    /// From now on it has `/o/1g` too.
    pub(crate) fn make_largest(&self) -> io::Result<()> {
        let path = self.server.folders.cache.join(LARGEST);
        let part: Vec<u8> = (b' '..=b'~').cycle().take(1 << 20).collect();
        if path.exists() {
            return Ok(());
        }
        let mut file = fs::File::create(path)?;
        (0..LARGEST_BYTES / (1 << 20)).try_for_each(|_| file.write_all(&part))
    }

    /// How many requests it has had, this question among them: between two questions, one more
    /// than caches have sent.
    pub(crate) fn requests(&self) -> io::Result<u64> {
        let text = Connection::open(self.server.address())?.text("/status")?;
        parse_status(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// How often `path`, which begins with `/slow/`, was asked for.
    pub(crate) fn slow_requests(&self, path: &str) -> u64 {
        self.slow.requests_for(path)
    }

    /// Its processes, all of them.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.server.processes()
    }
}

fn slow_origin(port: u16) -> io::Result<Origin> {
    let answer = |_: &str| Answer { body_bytes: SLOW_BODY_BYTES, delay: SLOW_DELAY };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    // Its thread ends with the measurement.
    let (origin, _) = Origin::start(listener, answer);
    Ok(origin)
}

/// nginx's stub_status: the third line has connections accepted and handled, and requests.
fn parse_status(text: &str) -> Option<u64> {
    text.lines().nth(2)?.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requests_are_the_third_number_of_the_third_line() {
        let text = "Active connections: 1 \nserver accepts handled requests\n 7 8 9 \nReading: 0\n";
        assert_eq!(parse_status(text), Some(9));
        assert_eq!(parse_status(""), None);
    }
}
