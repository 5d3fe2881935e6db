//! Requests that came while earlier ones are still worked on: what must be asked of the origin is
//! asked at once, and all are answered in their order. RFC 9112, section 9.3.2.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use nigh_cache::flight::INTERIM_MAX;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::Instant,
};

use super::{
    Buffers, Client, Connection, GATHERED,
    begin::{Begun, Early, Fetching, Position, begin, begin_early},
    fetch::{Asked, Meanwhile},
    io::Input,
};
use crate::{
    body::RequestBody,
    buffers::Reserved,
    http1,
    service::{Answer, Phase, Service},
};

/// Requests of one connection that are worked on at once. Further ones wait in the kernel, and so
/// does the client.
const AHEAD: usize = 64;

/// Bytes of a head that is kept to be read again; a longer one waits where it is.
const READ_AGAIN: usize = 4096;

/// Bytes that one read makes room for.
const READ: usize = 4096;

/// The requests that were begun, in the order in which they are answered.
pub(super) type Turns = RefCell<VecDeque<Turn>>;

/// A request whose turn to be answered will come.
pub(super) enum Turn {
    /// Its head, to be read again: what is stored is answered with as it is then.
    Read { head: Box<[u8]>, persistent: bool, reserved: Reserved },
    /// The origin was asked.
    Asked { asked: Asked, key: Box<[u8]>, answering: Ahead },
}

/// A fetch that was begun and is gone on with when its turn comes: the origin's answer comes
/// meanwhile, by a task of its own.
pub(super) struct Ahead {
    fetch: Pin<Box<dyn Future<Output = Answer>>>,
    answer: Option<Box<Answer>>,
}

impl Future for Ahead {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        match this.answer.take() {
            Some(answer) => Poll::Ready(*answer),
            None => this.fetch.as_mut().poll(cx),
        }
    }
}

impl Turn {
    /// Asks the origin.
    fn ask(fetching: Fetching, service: &Rc<Service>) -> Self {
        let Fetching { ask, work, framed, .. } = fetching;
        let (interims, interim) = mpsc::channel(INTERIM_MAX);
        let logged = service.is_logging().then(|| Rc::clone(&ask));
        let route = ask.route.clone();
        let asked = Asked { framed, interim, logged, route, since: Instant::now() };
        let key = ask.key.clone();
        let service = Rc::clone(service);
        let mut fetch: Pin<Box<dyn Future<Output = Answer>>> =
            Box::pin(async move { service.answer(ask, work, RequestBody::Empty, interims).await });
        // Who waits for it polls again.
        let answer = match fetch.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(Box::new(answer)),
            Poll::Pending => None,
        };
        Self::Asked { asked, key, answering: Ahead { fetch, answer } }
    }

    fn asks_for(&self, wanted: &[u8]) -> bool {
        matches!(self, Self::Asked { key, .. } if **key == *wanted)
    }

    /// Whether a request can follow it at all.
    fn is_persistent(&self) -> bool {
        match self {
            Self::Read { persistent, .. } => *persistent,
            Self::Asked { asked, .. } => asked.framed.persistent,
        }
    }
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Answers `first` and what the client asks meanwhile, in order; says whether the connection stays
    /// open.
    pub(super) async fn pipeline(&mut self, first: Fetching) -> io::Result<bool> {
        let turns = Turns::default();
        let mut next = Some(Turn::ask(first, &self.service));
        while let Some(turn) = next {
            let persistent = match turn {
                Turn::Read { head, persistent, reserved } => {
                    let is_last = turns.borrow().is_empty();
                    let position = if is_last { Position::Last } else { Position::Followed };
                    match self.answer_again(&head, position) {
                        Begun::Answered { persistent } => persistent,
                        Begun::Content { content, persistent } => {
                            self.send_content(content).await?;
                            persistent
                        }
                        // It was stored, and is no more.
                        Begun::Fetch(fetching) => {
                            next = Some(Turn::ask(*fetching, &self.service));
                            continue;
                        }
                        Begun::Tunnel { tunnelling, framed } => {
                            Box::pin(self.connect(*tunnelling, framed)).await?
                        }
                        Begun::Prove(proving) => {
                            self.prove(*proving).await;
                            next = Some(Turn::Read { head, persistent, reserved });
                            continue;
                        }
                    }
                }
                Turn::Asked { asked, key, mut answering } => {
                    let meanwhile = Meanwhile::Requests(&turns, &key);
                    self.finish(asked, Pin::new(&mut answering), meanwhile).await?
                }
            };
            if !persistent {
                return Ok(false);
            }
            if self.output.0.len() >= GATHERED {
                self.flush().await?;
            }
            next = turns.borrow_mut().pop_front();
        }
        Ok(true)
    }

    /// Answers a head that was read before.
    fn answer_again(&mut self, head: &[u8], position: Position) -> Begun {
        let service = Rc::clone(&self.service);
        let mut scratch = http1::Scratch::new();
        let (limits, progress) = (service.limits(), &mut http1::Progress::default());
        let head = http1::parse(head, &limits.http1, progress, &mut scratch);
        let head = head.ok().flatten().expect("it was a whole head before");
        let begun =
            begin(&head, self.client, &service, position, &mut self.output, &mut self.buffers);
        if !matches!(begun, Begun::Prove(_)) {
            self.client.proof = None;
        }
        begun
    }
}

/// Begins requests while an earlier one's answer is waited for.
pub(super) struct LookAhead<'a> {
    pub(super) turns: &'a Turns,
    /// The earlier one's key.
    pub(super) key: &'a [u8],
    pub(super) client: Client,
    pub(super) service: &'a Rc<Service>,
}

/// What became of the next bytes.
enum Step {
    Begun,
    /// There is no whole head yet.
    Incomplete,
    /// The next request has to wait for its turn; it stays unread.
    Stop,
}

impl LookAhead<'_> {
    /// Begins what comes, up to a request that has to wait for its turn.
    ///
    /// # Errors
    /// If the connection fails. That the client sends no more is no failure: it may still read.
    pub(super) async fn run(
        self,
        reader: &mut (impl AsyncRead + Unpin),
        input: &mut Input,
        progress: &mut http1::Progress,
    ) -> io::Result<()> {
        // Those of the connection are in use: they hold what the earlier answer is made of.
        let mut buffers = Buffers::default();
        loop {
            match self.step(input, progress, &mut buffers) {
                Step::Begun => {}
                Step::Stop => return Ok(()),
                Step::Incomplete => {
                    if input.fill(reader, READ).await? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn step(
        &self,
        input: &mut Input,
        progress: &mut http1::Progress,
        buffers: &mut Buffers,
    ) -> Step {
        let mut turns = self.turns.borrow_mut();
        let is_last = turns.back().is_some_and(|turn| !turn.is_persistent());
        if is_last || turns.len() >= AHEAD || self.service.phase() >= Phase::Draining {
            return Step::Stop;
        }
        let mut scratch = http1::Scratch::new();
        let limits = self.service.limits();
        let parsed = http1::parse(input.unread(), &limits.http1, progress, &mut scratch);
        let (early, length) = match parsed {
            Ok(Some(head)) => (begin_early(&head, self.client, self.service, buffers), head.len),
            Ok(None) => return Step::Incomplete,
            // It is read again, and refused, when its turn comes.
            Err(_) => {
                *progress = http1::Progress::default();
                return Step::Stop;
            }
        };
        let turn = match early {
            Early::Nothing { .. } if length > READ_AGAIN => return Step::Stop,
            Early::Nothing { persistent } => {
                let Some(reserved) = self.service.reserve(length as u64) else { return Step::Stop };
                let head = input.unread()[..length].into();
                Turn::Read { head, persistent, reserved }
            }
            Early::Fetch(fetching) => {
                let key = &fetching.ask.key;
                // One that waits for an earlier one's fetch could hold that up.
                let waits = **key == *self.key || turns.iter().any(|turn| turn.asks_for(key));
                if waits
                    || !fetching.may_wait()
                    || !self.service.may_ask_early(&fetching.ask.route, turns.len() + 1)
                {
                    return Step::Stop;
                }
                Turn::ask(*fetching, self.service)
            }
        };
        turns.push_back(turn);
        input.consume(length);
        Step::Begun
    }
}
