//! An origin in the test's own hands: it reads heads, and every byte that it answers is the test's.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
};

use super::{Head, PATIENCE, Wire};

/// An origin that counts what it is asked.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Receiver<Asked>,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    heads: Mutex<Vec<Head>>,
    connections: AtomicUsize,
}

/// A request that waits for the test to answer it. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: Head,
    pub(crate) wire: Wire,
    resume: Sender<Wire>,
}

impl Origin {
    /// An origin whose requests the test answers one by one, with [`Self::asked`].
    pub(crate) fn start() -> Self {
        let (out, asked) = channel();
        Self::serve(asked, move |mut wire, seen| {
            while let Some(head) = wire.try_head() {
                seen.heads.lock().unwrap().push(head.clone());
                let (resume, resumed) = channel();
                if out.send(Asked { head, wire, resume }).is_err() {
                    return;
                }
                match resumed.recv() {
                    Ok(back) => wire = back,
                    Err(_) => return,
                }
            }
        })
    }

    /// An origin that answers everything at once with what `answer` makes of a request's head.
    pub(crate) fn answering<A>(answer: A) -> Self
    where
        A: Fn(&Head) -> String + Clone + Send + Sync + 'static,
    {
        let (_, asked) = channel();
        Self::serve(asked, move |mut wire, seen| {
            while let Some(head) = wire.try_head() {
                wire.request_content(&head);
                seen.heads.lock().unwrap().push(head.clone());
                if wire.try_send(answer(&head)).is_err() {
                    return;
                }
            }
        })
    }

    /// An origin that answers everything with the same bytes.
    pub(crate) fn saying(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        Self::answering(move |_| answer.clone())
    }

    fn serve<C>(asked: Receiver<Asked>, converse: C) -> Self
    where
        C: Fn(Wire, &Seen) + Clone + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream: TcpStream = stream.expect("connections are accepted");
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (seen, converse) = (Arc::clone(&shared), converse.clone());
                std::thread::spawn(move || {
                    // An edge keeps its connections open without a word for as long as it lives.
                    stream.set_nodelay(true).expect("a TCP socket");
                    converse(Wire::over(stream), &seen);
                });
            }
        });
        Self { address, asked, seen }
    }

    /// What `--to` is told.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request that no answer was given to.
    #[track_caller]
    pub(crate) fn asked(&self) -> Asked {
        let asked = self.asked.recv_timeout(PATIENCE).expect("the origin is asked");
        asked.wire.stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
        asked
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.seen.heads.lock().unwrap().len()
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<Head> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// The newest request's head.
    #[track_caller]
    pub(crate) fn last(&self) -> Head {
        self.heads().pop().expect("the origin was asked")
    }
}

impl Asked {
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes);
    }

    /// Sends the (rest of the) answer; the connection goes on.
    #[track_caller]
    pub(crate) fn answer(mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes);
        self.wire.stream.set_read_timeout(None).expect("no limit is a limit too");
        // An origin that the test has dropped serves nobody any more.
        let _ = self.resume.send(self.wire);
    }

    /// The request's content and trailers.
    #[track_caller]
    pub(crate) fn content(&mut self) -> (Vec<u8>, Vec<(String, String)>) {
        let Self { head, wire, .. } = self;
        wire.request_content(head)
    }
}

/// A 200 with a length, this Cache-Control and this content.
pub(crate) fn ok(cache_control: &str, body: &str) -> String {
    answer(&format!("Cache-Control: {cache_control}\r\n"), body)
}

/// A 200 with a length, these field lines and this content.
pub(crate) fn answer(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}
