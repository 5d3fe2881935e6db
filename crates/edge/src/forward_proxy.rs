//! What a forward proxy decides without a socket: who may use it, where it may go, what a redirected
//! client was looking for, and what browsers are told. RFC 9110, section 3.7; docs/forward.md.

pub mod client_hello;
mod inside;
pub mod pac;
mod ports;
mod rules;

use http::StatusCode;

pub use inside::PRIVATE;
pub use ports::{Ports, PortsError};
pub use rules::{Destination, DestinationError, Rules};

/// Why a forward proxy does not do what it was asked for. Who can act is in the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The operator's, or nobody's: the client is a stranger.
    #[error(
        "this proxy does not serve the client's network: its operator may add it to `clients` of \
         [forward]"
    )]
    Client,
    /// The operator's: inside, this machine itself, or refused by name.
    #[error(
        "the destination may not be reached through this proxy: it is private, loopback, the proxy \
         itself or denied; its operator may add its network to `allow` of [forward]"
    )]
    Destination,
    /// The operator's: CONNECT to another port.
    #[error(
        "CONNECT may not reach this port: the proxy's operator may add it to `connect_ports` of \
         [forward]"
    )]
    ConnectPort,
    /// The operator's: http at another port.
    #[error(
        "http may not be fetched from this port: the proxy's operator may add it to `http_ports` of \
         [forward]"
    )]
    HttpPort,
    /// The client's: none, or wrong ones. RFC 9110, section 11.7.
    #[error("this proxy asks for a name and a password")]
    Credentials,
    /// The client's: too many wrong ones; after so many seconds it may try again.
    #[error("too many wrong passwords: try again later")]
    Attempts(u32),
    /// Nobody's: as many tunnels as may be are open; later there may be room.
    #[error("as many tunnels as this proxy allows are open")]
    Tunnels,
    /// The client's: a proxy that opened TLS would see what nobody else may.
    #[error("https is not fetched on behalf of clients: ask for a tunnel with CONNECT")]
    Scheme,
    /// The client's: it takes the proxy for a site (RFC 9110, section 15.5.20).
    #[error(
        "this is a forward proxy, and no site of this name is here: set it as your HTTP proxy, or \
         fetch /proxy.pac"
    )]
    NotASite,
    /// The client's: nothing says where the request goes.
    #[error("the request names no host")]
    NoHost,
}

impl Refusal {
    /// The status that tells the client.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Client | Self::Destination | Self::ConnectPort | Self::HttpPort => {
                StatusCode::FORBIDDEN
            }
            Self::Credentials => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Self::Attempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Tunnels => StatusCode::SERVICE_UNAVAILABLE,
            Self::Scheme | Self::NoHost => StatusCode::BAD_REQUEST,
            Self::NotASite => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    /// A stable word for logs and for Cache-Status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client-refused",
            Self::Destination => "destination-refused",
            Self::ConnectPort | Self::HttpPort => "port-refused",
            Self::Credentials => "credentials-wanted",
            Self::Attempts(_) => "too-many-attempts",
            Self::Tunnels => "too-many-tunnels",
            Self::Scheme => "scheme-refused",
            Self::NotASite => "not-a-site",
            Self::NoHost => "no-host",
        }
    }
}
