//! The connections of one core, each at a place where it can be found: all hear when the edge goes on
//! to another phase, and of those that wait for their clients, the ones that have waited longest make
//! room when others need it. (nginx does the same with what it calls reusable connections.)

use std::{
    rc::Rc,
    task::{Context, Waker},
};

use super::{Phase, Service, Whose};

/// Connections that make room at once: an eighth of those that wait, so that a burst of newcomers does
/// not cost every idle client its connection; but one at least, and so many at most.
const DISMISSED_SHARE: usize = 8;
const DISMISSED_MAX: usize = 32;

/// All places: a slab, and through it the list of those whose connections wait, the longest first.
#[derive(Debug, Default)]
pub(super) struct Places {
    slots: Vec<Slot>,
    free: Vec<usize>,
    first: Option<usize>,
    last: Option<usize>,
    waiting: usize,
    /// Those that are to end, and have not yet.
    leaving: usize,
}

#[derive(Debug, Default)]
struct Slot {
    waker: Option<Waker>,
    state: State,
    /// Its neighbours in the list, while it is there.
    before: Option<usize>,
    after: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A request is on its way, or there is no connection.
    #[default]
    Busy,
    /// The client has nothing to hear, and has not said what it wants.
    Waiting,
    /// It has waited, and is to end.
    Dismissed,
}

impl Places {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        })
    }

    fn give_back(&mut self, at: usize) {
        self.go_on(at);
        self.slots[at].waker = None;
        self.free.push(at);
    }

    /// Whoever is found there is woken when something concerns it.
    fn listen(&mut self, at: usize, cx: &Context<'_>) {
        let waker = &mut self.slots[at].waker;
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// It waits from now on, if it did not before.
    fn wait(&mut self, at: usize) {
        if self.slots[at].state != State::Busy {
            return;
        }
        let before = self.last.replace(at);
        match before {
            Some(before) => self.slots[before].after = Some(at),
            None => self.first = Some(at),
        }
        let slot = &mut self.slots[at];
        (slot.state, slot.before) = (State::Waiting, before);
        self.waiting += 1;
    }

    fn go_on(&mut self, at: usize) {
        match self.slots[at].state {
            State::Busy => {}
            State::Waiting => self.unlink(at),
            State::Dismissed => self.leaving -= 1,
        }
        self.slots[at].state = State::Busy;
    }

    fn unlink(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let (before, after) = (slot.before.take(), slot.after.take());
        match before {
            Some(before) => self.slots[before].after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => self.slots[after].before = before,
            None => self.last = before,
        }
        self.waiting -= 1;
    }

    /// Ends some of those that have waited longest; says how many.
    pub(super) fn dismiss(&mut self) -> usize {
        let count = (self.waiting / DISMISSED_SHARE).clamp(1, DISMISSED_MAX).min(self.waiting);
        for _ in 0..count {
            let at = self.first.expect("so many are in the list");
            self.unlink(at);
            let slot = &mut self.slots[at];
            slot.state = State::Dismissed;
            slot.waker.take().into_iter().for_each(Waker::wake);
        }
        self.leaving += count;
        count
    }

    /// How many connections are to end, and have not yet.
    pub(super) const fn leaving(&self) -> usize {
        self.leaving
    }

    /// Wakes all who listen.
    pub(super) fn wake(&mut self) {
        for waker in self.slots.iter_mut().filter_map(|slot| slot.waker.take()) {
            waker.wake();
        }
    }
}

/// A connection's place; given up with it.
#[derive(Debug)]
pub(crate) struct Place {
    service: Rc<Service>,
    at: usize,
    whose: Whose,
}

impl Place {
    pub(super) fn new(service: Rc<Service>, whose: Whose) -> Self {
        let at = service.places.borrow_mut().take();
        Self { service, at, whose }
    }

    fn phase(&self) -> Phase {
        self.service.phase().of(self.whose)
    }

    /// Waits for the client, until [`Self::go_on`]; says whether the connection is to end instead. If
    /// not, whoever asks is woken when that changes.
    pub(crate) fn is_over(&self, cx: &Context<'_>) -> bool {
        self.wait(cx) || self.phase() >= Phase::Ending
    }

    /// The same, and true only if it is to make room for others.
    pub(crate) fn wait(&self, cx: &Context<'_>) -> bool {
        let mut places = self.service.places.borrow_mut();
        places.listen(self.at, cx);
        places.wait(self.at);
        places.slots[self.at].state == State::Dismissed
    }

    /// The client wants something: the connection makes no room for others until it waits again.
    pub(crate) fn go_on(&self) {
        self.service.places.borrow_mut().go_on(self.at);
    }

    /// Whether this phase has come; if not, whoever asks is woken at the next.
    pub(crate) fn has_come(&self, phase: Phase, cx: &Context<'_>) -> bool {
        if self.phase() >= phase {
            return true;
        }
        self.service.places.borrow_mut().listen(self.at, cx);
        false
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.places.borrow_mut().give_back(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of these, those that were dismissed, by their places.
    fn dismissed(places: &Places) -> Vec<usize> {
        let is_it = |at: &usize| places.slots[*at].state == State::Dismissed;
        (0..places.slots.len()).filter(is_it).collect()
    }

    #[test]
    fn who_has_waited_longest_goes_first_and_who_is_busy_stays() {
        let mut places = Places::default();
        let all = [(); 4].map(|()| places.take());
        all.iter().for_each(|at| places.wait(*at));
        // One asks and waits again, one is still being answered, one has gone.
        places.go_on(all[0]);
        places.wait(all[0]);
        places.go_on(all[1]);
        places.give_back(all[2]);
        assert_eq!((places.dismiss(), dismissed(&places)), (1, vec![all[3]]));
        assert_eq!((places.dismiss(), dismissed(&places)), (1, vec![all[0], all[3]]));
        assert_eq!((places.dismiss(), places.leaving()), (0, 2));
        // One was asked in the same moment, one ends.
        places.go_on(all[0]);
        places.give_back(all[3]);
        assert_eq!((dismissed(&places), places.leaving()), (vec![], 0));
        places.wait(all[1]);
        assert_eq!(places.dismiss(), 1);
    }

    #[test]
    fn an_eighth_of_those_who_wait_makes_room_at_once() {
        let mut places = Places::default();
        for _ in 0..400 {
            let at = places.take();
            places.wait(at);
        }
        assert_eq!([places.dismiss(), places.waiting], [DISMISSED_MAX, 368]);
        while places.waiting > 16 {
            places.dismiss();
        }
        assert_eq!([places.waiting, places.dismiss(), places.dismiss()], [16, 2, 1]);
    }
}
