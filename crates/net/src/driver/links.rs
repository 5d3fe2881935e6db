//! The links of a driver: their numbers, their tasks, and how many there may be.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    panic::resume_unwind,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use nigh_base::{
    Address,
    machine::{Input, Link},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{AbortHandle, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    counters::{Counters, count, uncount},
    link::{CLOSE_TIME, CONNECT_TIME, Line},
    queue::{Order, SendQueue},
    sockets,
};

/// What links' tasks tell the driver, each in its order.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Accepted { stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit },
    Opened { link: Link, peer: Address },
    Received { link: Link, bytes: Bytes },
    Drained { link: Link },
    Closed { link: Link },
}

/// All links.
#[derive(Debug)]
pub(super) struct Links {
    open: BTreeMap<Link, Arc<SendQueue>>,
    /// The task of each link, also of those that the machine has closed and that have yet to end.
    carried: Vec<Carried>,
    accepted: u64,
    /// For those that are dialled.
    places: Arc<Semaphore>,
    source: Option<IpAddr>,
    tasks: JoinSet<()>,
    accepting: Option<AbortHandle>,
    sender: mpsc::Sender<LinkEvent>,
    events: mpsc::Receiver<LinkEvent>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Carried {
    queue: Arc<SendQueue>,
    task: AbortHandle,
}

impl Links {
    pub(super) fn new(listener: TcpListener, bound: SocketAddr, counters: Arc<Counters>) -> Self {
        let mut links = Self::with_places(DIALLED_LINKS, counters);
        let accepting = accept(listener, links.sender.clone(), Arc::clone(&links.counters));
        links.accepting = Some(links.tasks.spawn(accepting));
        links.source = sockets::source(bound);
        links
    }

    /// None at all: nobody can open one, and those that the machine asks for are refused.
    pub(super) fn none(counters: Arc<Counters>) -> Self {
        Self::with_places(0, counters)
    }

    fn with_places(dialled: usize, counters: Arc<Counters>) -> Self {
        let (sender, events) = mpsc::channel(LINK_EVENTS);
        Self {
            open: BTreeMap::new(),
            carried: Vec::new(),
            accepted: 0,
            places: Arc::new(Semaphore::new(dialled)),
            source: None,
            tasks: JoinSet::new(),
            accepting: None,
            sender,
            events,
            counters,
        }
    }

    /// What comes next of a link. Nothing is lost if this is dropped.
    pub(super) async fn next(&mut self) -> LinkEvent {
        self.events.recv().await.expect("the driver has a sender itself")
    }

    /// What the machine is told of `event`: nothing, if it has closed the link.
    pub(super) fn input<C>(&mut self, event: LinkEvent) -> Option<Input<Bytes, C>> {
        while let Some(ended) = self.tasks.try_join_next() {
            pass_on_panic(ended);
        }
        match event {
            LinkEvent::Accepted { stream, peer, place } => {
                count(&self.counters.links_accepted);
                self.accepted += 2;
                let link = Link(self.accepted);
                let line = self.line(link);
                self.spawn(Arc::clone(&line.queue), async move {
                    line.carry(stream).await;
                    drop(place);
                });
                Some(Input::Opened { link, peer: peer.into() })
            }
            LinkEvent::Opened { link, peer } => {
                self.open.contains_key(&link).then_some(Input::Opened { link, peer })
            }
            LinkEvent::Received { link, bytes } => {
                self.open.contains_key(&link).then_some(Input::Received { link, bytes })
            }
            LinkEvent::Drained { link } => {
                self.open.contains_key(&link).then_some(Input::Drained { link })
            }
            LinkEvent::Closed { link } => {
                self.forget(link).is_some().then_some(Input::Closed { link })
            }
        }
    }

    /// Dials; false if there is no place for one more.
    pub(super) fn open(&mut self, link: Link, peer: Address) -> bool {
        assert!(link.0 % 2 == 1, "a machine dials odd links, {link:?} is even");
        assert!(!self.open.contains_key(&link), "{link:?} was used before");
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            count(&self.counters.links_refused);
            return false;
        };
        count(&self.counters.links_dialled);
        let (line, source) = (self.line(link), self.source);
        self.spawn(Arc::clone(&line.queue), async move {
            line.dial(peer, source).await;
            drop(place);
        });
        true
    }

    pub(super) fn send(&self, link: Link, bytes: Bytes) {
        let Some(queue) = self.open.get(&link) else { return };
        if !queue.push(bytes) {
            count(&self.counters.links_overrun);
            warn!(link = link.0, "a machine goes on sending on a link that is full; it is closed");
            queue.tell(Order::Break);
        }
    }

    pub(super) fn close(&mut self, link: Link) {
        if let Some(queue) = self.forget(link) {
            queue.tell(Order::Leave);
        }
    }

    /// Closes all links, each when what was sent on it has left, but in [`STOP_TIME`] at most. A peer
    /// that only keeps its end open holds nothing up.
    pub(super) async fn stop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        // Tasks that wait to say something go on.
        self.events.close();
        while self.events.try_recv().is_ok() {}
        for (_, queue) in std::mem::take(&mut self.open) {
            uncount(&self.counters.links_open);
            queue.tell(Order::Leave);
        }
        self.cut_off(SendQueue::is_unused);
        if timeout(LINGER_TIME, self.all_ended()).await.is_err() {
            self.cut_off(SendQueue::is_empty);
        }
        if timeout(STOP_TIME, self.all_ended()).await.is_err() {
            debug!(links = self.tasks.len(), "links were cut off");
            self.tasks.shutdown().await;
        }
    }

    fn cut_off(&self, which: impl Fn(&SendQueue) -> bool) {
        let links = self.carried.iter().filter(|it| which(&it.queue));
        links.for_each(|it| it.task.abort());
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            pass_on_panic(ended);
        }
    }

    fn spawn(&mut self, queue: Arc<SendQueue>, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(task);
        self.carried.retain(|it| !it.task.is_finished());
        self.carried.push(Carried { queue, task });
    }

    fn line(&mut self, link: Link) -> Line {
        let queue = Arc::new(SendQueue::default());
        self.open.insert(link, Arc::clone(&queue));
        count(&self.counters.links_open);
        let (events, counters) = (self.sender.clone(), Arc::clone(&self.counters));
        Line { link, queue, events, counters }
    }

    fn forget(&mut self, link: Link) -> Option<Arc<SendQueue>> {
        let queue = self.open.remove(&link)?;
        uncount(&self.counters.links_open);
        Some(queue)
    }
}

/// Accepts links while there are places for them. At the limit, or out of file descriptors, those
/// who call wait in the kernel's queue.
async fn accept(listener: TcpListener, events: mpsc::Sender<LinkEvent>, counters: Arc<Counters>) {
    let places = Arc::new(Semaphore::new(ACCEPTED_LINKS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if events.send(LinkEvent::Accepted { stream, peer, place }).await.is_err() {
                    return;
                }
            }
            // The peer was gone before it was accepted (accept(2)): the next one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                count(&counters.accept_errors);
                debug!(%error, "a link was not accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// A panic in a link's task is ours, and one of the driver.
fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        resume_unwind(panic);
    }
}

/// Links that were dialled, at once. Apart from those that were accepted: strangers who call cannot
/// keep us from calling.
const DIALLED_LINKS: usize = 512;
/// Links that were accepted, at once. With the dialled ones, and a queue in each, at most 2 GiB of a
/// machine that fills them all; mostly a few MiB.
const ACCEPTED_LINKS: usize = 1024;
/// What links have to say and the driver has not heard yet. Each may hold 64 KiB, so 4 MiB in all;
/// behind that, links wait in the kernel.
const LINK_EVENTS: usize = 64;
/// How long accepting pauses when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the driver waits at its end for peers that have got all and have yet to close: what is
/// closed with something unread is reset, and the peer may lose what was sent last.
const LINGER_TIME: Duration = Duration::from_millis(500);
/// How long the driver waits at its end for links: as long as one may take to be dialled and to
/// leave.
const STOP_TIME: Duration = CONNECT_TIME.saturating_add(CLOSE_TIME);
