//! Askers of one node: each has some questions under way, and asks the next when one is answered.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use nigh_base::{Key, Rng, machine::Secrets as _, wire::Wire as _};
use nigh_overlay::locate::kademlia::krpc::{Body, Message, Method, Query, Transaction};
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Askers, of which each has an address.
const ASKERS: u8 = 8;
/// Questions of each that are under way.
const UNDER_WAY: usize = 16;
/// What is not answered in this time is lost.
const LOST_AFTER: Duration = Duration::from_millis(300);
/// Before anything is counted.
const WARM: Duration = Duration::from_millis(500);
/// The longest answer that is read.
const ANSWER_MAX: usize = 2048;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Ping,
    FindNode,
    GetPeers,
}

impl Question {
    pub(super) const ALL: [Self; 3] = [Self::Ping, Self::FindNode, Self::GetPeers];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::FindNode => "find_node",
            Self::GetPeers => "get_peers",
        }
    }

    /// One of that number, of that asker; what it asks for is drawn.
    pub(super) fn bytes(self, number: u32, asker: u8) -> Vec<u8> {
        let drawn = Key::of(&number.to_be_bytes());
        let method = match self {
            Self::Ping => Method::Ping,
            Self::FindNode => Method::FindNode { target: drawn },
            Self::GetPeers => {
                Method::GetPeers { info_hash: drawn, without_seeds: false, scrape: false }
            }
        };
        let id = Key::of(&[asker]);
        let body = Body::Query(Query { id, read_only: false, want: None, method });
        let transaction = Transaction::from_slice(&number.to_be_bytes());
        Message { transaction, version: None, body }.encode()
    }
}

/// Whether that is an answer that names eight nodes or more.
pub(super) fn names_eight(bytes: &[u8]) -> bool {
    let Ok(Message { body: Body::Response(response), .. }) = Message::decode(bytes) else {
        return false;
    };
    response.nodes.is_some_and(|nodes| nodes.len() >= 8)
}

/// What was answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// Questions without an answer.
    pub(super) lost: u64,
    pub(super) took: Duration,
    /// Seconds of the node's processor.
    pub(super) cpu: f64,
}

struct Asker {
    number: u8,
    socket: UdpSocket,
    /// How many of its questions are under way, and when the last was answered or asked.
    under_way: usize,
    heard: Instant,
}

/// Asks for that long. `cpu` tells how many seconds of its processor the node has had.
pub(super) fn answers(
    question: Question,
    node: SocketAddrV4,
    time: Duration,
    cpu: impl Fn() -> f64,
) -> io::Result<Answered> {
    let start = Instant::now();
    let asker = |number: u8| {
        let socket = UdpSocket::bind((Ipv4Addr::new(198, 19, 0, number), 0))?;
        socket.connect(node)?;
        Ok(Asker { number, socket, under_way: 0, heard: start })
    };
    let mut askers: Vec<Asker> = (1..=ASKERS).map(asker).collect::<io::Result<_>>()?;
    let mut rng = Rng::new(1);
    let mut number = [0; 4];
    rng.fill(&mut number);
    let mut number = u32::from_be_bytes(number);
    let (mut answered, mut counted_from) = (Answered::default(), None);
    let mut room = vec![[0; ANSWER_MAX]; 2 * UNDER_WAY];
    loop {
        let now = Instant::now();
        if counted_from.is_none() && now >= start + WARM {
            (answered, counted_from) = (Answered::default(), Some((now, cpu())));
        }
        if let Some((from, had)) = counted_from
            && now >= from + time
        {
            (answered.took, answered.cpu) = (now - from, cpu() - had);
            return Ok(answered);
        }
        for asker in &mut askers {
            asker.ask(question, &mut number, now, &mut answered)?;
        }
        let mut waiting: Vec<PollFd<'_>> =
            askers.iter().map(|it| PollFd::new(&it.socket, PollFlags::IN)).collect();
        poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: 5_000_000 }))?;
        let ready: Vec<bool> = waiting.iter().map(|it| !it.revents().is_empty()).collect();
        for (asker, _) in askers.iter_mut().zip(ready).filter(|it| it.1) {
            asker.hear(&mut room, &mut answered)?;
        }
    }
}

impl Asker {
    /// Asks as many as are missing, once they are half of them.
    fn ask(
        &mut self,
        question: Question,
        number: &mut u32,
        now: Instant,
        answered: &mut Answered,
    ) -> io::Result<()> {
        if self.under_way > 0 && now > self.heard + LOST_AFTER {
            answered.lost += self.under_way as u64;
            self.under_way = 0;
        }
        let missing = UNDER_WAY - self.under_way;
        if missing < UNDER_WAY / 2 {
            return Ok(());
        }
        let questions: Vec<Vec<u8>> = (0..missing)
            .map(|_| {
                *number = number.wrapping_add(1);
                question.bytes(*number, self.number)
            })
            .collect();
        let slices: Vec<[IoSlice<'_>; 1]> = questions.iter().map(|it| [IoSlice::new(it)]).collect();
        let mut headers = MultiHeaders::<()>::preallocate(missing, None);
        let fd = self.socket.as_raw_fd();
        let nobody = vec![None; missing];
        let sent = sendmmsg(fd, &mut headers, &slices, &nobody, [], MsgFlags::empty())?.count();
        self.under_way += sent;
        self.heard = now;
        Ok(())
    }

    fn hear(&mut self, room: &mut [[u8; ANSWER_MAX]], answered: &mut Answered) -> io::Result<()> {
        let mut headers = MultiHeaders::<()>::preallocate(room.len(), None);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            room.iter_mut().map(|it| [IoSliceMut::new(it)]).collect();
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let mut heard = 0;
        for message in recvmmsg(fd, &mut headers, &mut slices, flags, None)? {
            let bytes = message.iovs().next().unwrap_or_default();
            // What else comes are questions: the node wants to know whether the asker is one.
            if bytes.windows(6).rev().any(|it| it == b"1:y1:r") {
                heard += 1;
                answered.bytes += bytes.len() as u64;
            }
        }
        answered.count += heard as u64;
        self.under_way = self.under_way.saturating_sub(heard);
        self.heard = Instant::now();
        Ok(())
    }
}
