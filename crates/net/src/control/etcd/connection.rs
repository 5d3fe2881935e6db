//! The client of an etcd, and certificates that change while it is used: where TLS fails, they are read again,
//! and if they are others than before, a new client takes the place of the old one.

use std::{error, fmt, sync::Arc, time::Duration};

use etcd_client::{Client, ConnectOptions, KvClient};
use nigh_cluster::control::Error;
use parking_lot::RwLock;
use tokio::task::spawn_blocking;

use super::{
    MESSAGE_MAX, SettingsError,
    tls::{Probe, Tls},
};

/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A connection is asked for a sign of life this often, and given up after the other: a watch would
/// not notice otherwise.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_WAIT: Duration = Duration::from_secs(5);

/// Reads how we and the etcd trust each other, where that lies. It may wait for a file system.
#[derive(Clone)]
pub struct ReadTls(Arc<Reading>);

type Reading = dyn Fn() -> Result<Tls, Box<dyn error::Error + Send + Sync>> + Send + Sync;

impl ReadTls {
    /// By this function.
    pub fn new<E: Into<Box<dyn error::Error + Send + Sync>>>(
        read: impl Fn() -> Result<Tls, E> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move || read().map_err(Into::into)))
    }

    async fn read(&self) -> Result<Tls, SettingsError> {
        let read = Arc::clone(&self.0);
        let read = spawn_blocking(move || read()).await.unwrap_or_else(|error| Err(error.into()));
        read.map_err(|source| SettingsError::Unread { source })
    }
}

impl fmt::Debug for ReadTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadTls").finish_non_exhaustive()
    }
}

/// The way to an etcd.
pub(super) struct Connection {
    endpoints: Vec<String>,
    read: Option<ReadTls>,
    current: RwLock<Current>,
}

struct Current {
    client: Client,
    /// Where TLS is spoken: how, and what finds out why it fails.
    secured: Option<(Tls, Arc<Probe>)>,
}

impl Connection {
    /// One to these members. They are reached when something is asked.
    pub(super) async fn new(
        endpoints: Vec<String>,
        read: Option<ReadTls>,
    ) -> Result<Self, SettingsError> {
        let tls = match &read {
            Some(read) => Some(read.read().await?),
            None => None,
        };
        let current = RwLock::new(Current::new(&endpoints, tls).await?);
        Ok(Self { endpoints, read, current })
    }

    pub(super) fn client(&self) -> Client {
        self.current.read().client.clone()
    }

    pub(super) fn kv(&self) -> KvClient {
        self.client().kv_client().max_decoding_message_size(MESSAGE_MAX)
    }

    /// The same answer; or if there is none, with what TLS has to do with it. Whoever asks again then asks
    /// with what was read anew.
    pub(super) async fn explained<T>(
        &self,
        asking: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let error = match asking.await {
            Err(error @ Error::Unavailable { .. }) => error,
            answer => return answer,
        };
        let probe = self.current.read().secured.as_ref().map(|(_, probe)| Arc::clone(probe));
        let Some(probe) = probe else { return Err(error) };
        let Some(why) = probe.why().await else { return Err(error) };
        if why.is_of_certificates() {
            self.renew().await.map_err(Error::unavailable)?;
        }
        Err(Error::unavailable(why))
    }

    /// Reads certificates again, and takes those that are others.
    async fn renew(&self) -> Result<(), SettingsError> {
        let Some(read) = &self.read else { return Ok(()) };
        let tls = read.read().await?;
        if self.current.read().secured.as_ref().is_some_and(|(held, _)| *held == tls) {
            return Ok(());
        }
        let new = Current::new(&self.endpoints, Some(tls)).await?;
        *self.current.write() = new;
        Ok(())
    }
}

impl Current {
    async fn new(endpoints: &[String], tls: Option<Tls>) -> Result<Self, SettingsError> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECT_MAX)
            .with_keep_alive(PING_EVERY, PING_WAIT)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        let mut secured = None;
        if let Some(tls) = tls {
            let (prepared, config) = tls.prepare()?;
            options = options.with_tls(prepared);
            secured = Some((tls, Arc::new(Probe::new(config, endpoints))));
        }
        let client = Client::connect(endpoints, Some(options)).await;
        Ok(Self { client: client.map_err(SettingsError::Endpoints)?, secured })
    }
}
