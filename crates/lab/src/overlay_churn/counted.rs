//! A node whose datagrams are counted as they leave.

use nigh_base::{
    Digest, Machine, Time,
    machine::{Context, Input, Outbox, Output},
    wire::Wire,
};

/// What IPv4 and UDP put before each datagram.
pub(super) const HEADERS: u64 = 20 + 8;

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) datagrams: u64,
    /// With the headers of each.
    pub(super) bytes: u64,
}

impl Traffic {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { datagrams: self.datagrams + other.datagrams, bytes: self.bytes + other.bytes }
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self { datagrams: self.datagrams - earlier.datagrams, bytes: self.bytes - earlier.bytes }
    }
}

/// The node, and what it has sent.
#[derive(Debug)]
pub(super) struct Counted<T: Machine> {
    node: T,
    sent: Traffic,
    outbox: Outbox<T>,
    /// Where a message is written to be measured.
    written: Vec<u8>,
}

impl<T: Machine> Counted<T> {
    pub(super) const fn new(node: T) -> Self {
        let sent = Traffic { datagrams: 0, bytes: 0 };
        Self { node, sent, outbox: Vec::new(), written: Vec::new() }
    }

    pub(super) const fn node(&self) -> &T {
        &self.node
    }

    pub(super) const fn sent(&self) -> Traffic {
        self.sent
    }
}

impl<T: Machine<Message: Wire>> Machine for Counted<T> {
    type Message = T::Message;
    type Command = T::Command;
    type Event = T::Event;

    fn handle(&mut self, input: Input<T::Message, T::Command>, cx: &mut Context<'_, Self>) {
        self.node.handle(input, &mut cx.part(&mut self.outbox));
        for output in self.outbox.drain(..) {
            if let Output::Message { message, .. } = &output {
                self.written.clear();
                message.write(&mut self.written);
                let bytes = HEADERS + self.written.len() as u64;
                self.sent = self.sent.plus(Traffic { datagrams: 1, bytes });
            }
            cx.emit(output);
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.node.wake_at()
    }

    fn digest(&self, digest: &mut Digest) {
        self.node.digest(digest);
    }

    fn check(&self) {
        self.node.check();
    }
}
