//! The site: an origin that has the page's objects and the large one.

use super::client::{LARGE_BYTES, LARGE_PATH, SMALL_BYTES};
use crate::origin::{Answer, Origin};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

/// Where it listens.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Address and port
    #[arg(long)]
    listen: SocketAddr,
}

/// Serves until the process is ended.
pub(crate) fn run(arguments: &Arguments) -> io::Result<String> {
    let listener = TcpListener::bind(arguments.listen)?;
    let (_, accepting) = Origin::start(listener, |path| Answer {
        body_bytes: if path == LARGE_PATH { LARGE_BYTES } else { SMALL_BYTES },
        delay: Duration::ZERO,
    });
    accepting.join().map_err(|_| io::Error::other("it no longer accepts"))?;
    Ok(String::new())
}
