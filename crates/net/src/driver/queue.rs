//! What waits to be sent on one link. The driver fills it, the link's task empties it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use nigh_base::machine::{LINK_QUEUE_FULL, LINK_QUEUE_MAX};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The queue, and what the driver has told the link's task.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    state: Mutex<State>,
    filled: Notify,
    told: Notify,
}

/// What a link is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Close when all of the queue has left.
    Leave,
    /// Close now.
    Break,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// Small pieces behind the others, in one: a queue of single bytes takes no more room than one
    /// of large pieces, and no more system calls.
    tail: BytesMut,
    /// Bytes of both, and of the piece that is being written.
    waiting_bytes: usize,
    /// Bytes that the machine has sent since it was last told that there is room.
    unanswered_bytes: usize,
    /// Whether anything was ever sent.
    is_used: bool,
    /// Whether the machine is to be told when there is room.
    is_full: bool,
    order: Option<Order>,
}

impl SendQueue {
    /// Puts `bytes` behind the others; false if there are now more than the queue may hold.
    ///
    /// A machine cannot see the queue. It may count what it has sent since it was last told of
    /// room, and stop at [`LINK_QUEUE_FULL`]: so it is told of room after so much, too, if the
    /// queue itself was never as full.
    pub(super) fn push(&self, bytes: Bytes) -> bool {
        let mut state = self.state.lock();
        if state.order.is_some() || bytes.is_empty() {
            return true;
        }
        state.is_used = true;
        state.waiting_bytes += bytes.len();
        state.unanswered_bytes += bytes.len();
        state.is_full |= state.waiting_bytes.max(state.unanswered_bytes) >= LINK_QUEUE_FULL;
        if bytes.len() < SMALL_BYTES {
            state.tail.extend_from_slice(&bytes);
            if state.tail.len() >= SMALL_BYTES {
                state.close_tail();
            }
        } else {
            state.close_tail();
            state.pieces.push_back(bytes);
        }
        let fits = state.waiting_bytes <= LINK_QUEUE_MAX;
        drop(state);
        self.filled.notify_one();
        fits
    }

    /// The next piece to write, when there is one; none when it was the last. Nothing is lost if
    /// this is dropped.
    pub(super) async fn piece(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state.lock();
                state.close_tail_if_first();
                if let Some(piece) = state.pieces.pop_front() {
                    return Some(piece);
                }
                if state.order.is_some() {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Notes that `count` bytes have left; true if the machine is to be told that there is room.
    pub(super) fn sent(&self, count: usize) -> bool {
        let mut state = self.state.lock();
        state.waiting_bytes -= count;
        let has_drained = state.is_full && state.waiting_bytes < LINK_QUEUE_FULL;
        if has_drained {
            state.is_full = false;
            state.unanswered_bytes = 0;
        }
        has_drained
    }

    /// Tells the link's task. The first order stands.
    pub(super) fn tell(&self, order: Order) {
        let mut state = self.state.lock();
        state.order.get_or_insert(order);
        if order == Order::Break {
            state.pieces.clear();
            state.tail.clear();
        }
        drop(state);
        self.filled.notify_one();
        self.told.notify_one();
    }

    /// Waits until there is an order.
    pub(super) async fn order(&self) -> Order {
        loop {
            if let Some(order) = self.ordered() {
                return order;
            }
            self.told.notified().await;
        }
    }

    /// The order, if there is one.
    pub(super) fn ordered(&self) -> Option<Order> {
        self.state.lock().order
    }

    /// Whether nothing was ever sent.
    pub(super) fn is_unused(&self) -> bool {
        !self.state.lock().is_used
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().waiting_bytes == 0
    }
}

impl State {
    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.pieces.push_back(tail);
        }
    }

    fn close_tail_if_first(&mut self) {
        if self.pieces.is_empty() {
            self.close_tail();
        }
    }
}

/// Pieces below this are put together. Copying so few bytes costs less than a system call.
const SMALL_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(length: usize) -> Bytes {
        Bytes::from(vec![7; length])
    }

    #[tokio::test]
    async fn small_pieces_leave_together_and_in_order() {
        let queue = SendQueue::default();
        for byte in 0..100u8 {
            assert!(queue.push(Bytes::copy_from_slice(&[byte])));
        }
        queue.push(piece(SMALL_BYTES));
        let expected: Vec<u8> = (0..100).collect();
        assert_eq!(queue.piece().await.unwrap(), expected);
        assert_eq!(queue.piece().await.unwrap().len(), SMALL_BYTES);
    }

    #[test]
    fn a_full_queue_tells_of_room_once() {
        let queue = SendQueue::default();
        queue.push(piece(LINK_QUEUE_FULL + 10));
        assert!(!queue.sent(10), "full to the byte is full");
        assert!(queue.sent(1));
        assert!(!queue.sent(1));
    }

    #[test]
    fn a_machine_that_counts_what_it_sent_is_told_of_room_too() {
        let queue = SendQueue::default();
        let told = (0..8).filter(|_| {
            queue.push(piece(LINK_QUEUE_FULL / 4));
            queue.sent(LINK_QUEUE_FULL / 4)
        });
        assert_eq!(told.count(), 2);
    }

    #[test]
    fn a_machine_that_does_not_stop_is_noticed() {
        let queue = SendQueue::default();
        assert!(queue.push(piece(LINK_QUEUE_MAX)));
        assert!(!queue.push(piece(1)));
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_leaves_and_nothing_after() {
        let queue = SendQueue::default();
        queue.push(piece(1));
        queue.tell(Order::Leave);
        queue.push(piece(2));
        assert_eq!(queue.piece().await.unwrap().len(), 1);
        assert_eq!(queue.piece().await, None);
        assert_eq!(queue.order().await, Order::Leave);
    }
}
