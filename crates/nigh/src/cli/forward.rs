//! The flags of a forward proxy, and what can be said in them and in a settings file alike.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use nigh_edge::{
    forward_proxy::{Destination, Ports},
    network::Network,
};
use nigh_net::forward_proxy::{Mode, Redirected};

/// A forward proxy: clients name the destination themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Forward proxy")]
pub(crate) struct ForwardFlags {
    /// Be a forward proxy instead of standing before an origin: http is cached, CONNECT is tunnelled,
    /// and browsers find /proxy.pac.
    #[arg(long, conflicts_with = "to")]
    pub(crate) forward: bool,
    /// Networks whose machines are served; may be given several times [default: loopback and private]
    #[arg(long, value_name = "NETWORK", requires = "forward")]
    pub(crate) proxy_clients: Vec<Network>,
    /// Networks that may be reached although they are private or loopback.
    #[arg(long, value_name = "NETWORK", requires = "forward")]
    pub(crate) proxy_allow: Vec<Network>,
    /// Networks and names that may not be reached.
    #[arg(long, value_name = "NETWORK|NAME", requires = "forward")]
    pub(crate) proxy_deny: Vec<Destination>,
    /// Ports that CONNECT may reach, as 443 or 8000-8999; may be given several times [default: 443]
    #[arg(long, value_name = "PORTS", requires = "forward")]
    pub(crate) connect_port: Vec<Ports>,
    /// Ports that http may be fetched from [default: 80 and 1024-65535]
    #[arg(long, value_name = "PORTS", requires = "forward")]
    pub(crate) http_port: Vec<Ports>,
    /// Ask for names and passwords: a file as `htpasswd -B` writes it.
    #[arg(long, value_name = "FILE", requires = "forward")]
    pub(crate) proxy_users: Option<PathBuf>,
    /// Where clients come in that nftables redirects, by `redirect` or by `tproxy`.
    #[arg(long, value_name = "[redirect|tproxy://]ADDR:PORT", requires = "forward",
          value_parser = redirected)]
    pub(crate) transparent: Vec<Redirected>,
}

/// `redirect://ADDR:PORT` or `tproxy://ADDR:PORT`; without a word it is the former.
pub(crate) fn redirected(text: &str) -> Result<Redirected, String> {
    let (mode, rest) = match text.split_once("://") {
        Some(("redirect", rest)) => (Mode::Redirect, rest),
        Some(("tproxy", rest)) => (Mode::Tproxy, rest),
        Some((other, _)) => {
            return Err(format!("`{other}` is no way to be redirected: write redirect or tproxy"));
        }
        None => (Mode::Redirect, text),
    };
    let address: SocketAddr = rest.parse().map_err(|_| {
        format!("`{rest}` is no address with a port, such as 0.0.0.0:3129 or [::]:3129")
    })?;
    Ok(Redirected { address, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_redirected_comes_in_at_an_address_in_one_of_two_ways() {
        let read = |text| redirected(text).map(|one| (one.address.to_string(), one.mode));
        assert_eq!(read("0.0.0.0:1"), Ok(("0.0.0.0:1".to_owned(), Mode::Redirect)));
        assert_eq!(read("tproxy://[::]:1"), Ok(("[::]:1".to_owned(), Mode::Tproxy)));
        assert!(read("http://0.0.0.0:1").unwrap_err().contains("redirect or tproxy"));
        assert!(read(":3129").unwrap_err().contains("0.0.0.0:3129"));
    }
}
