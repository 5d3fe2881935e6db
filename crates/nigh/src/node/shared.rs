//! A machine that its runner is not alone with: the caller looks at it between two inputs.

use std::{
    cell::{Ref, RefCell},
    rc::Rc,
};

use nigh_base::{
    Digest, Machine, Time,
    machine::{Context, Input, Outbox},
};

/// A machine and, on the same thread, those who look at it.
pub(super) struct Shared<T: Machine>(Rc<RefCell<Held<T>>>);

struct Held<T: Machine> {
    machine: T,
    outbox: Outbox<T>,
}

impl<T: Machine> Shared<T> {
    pub(super) fn new(machine: T) -> Self {
        Self(Rc::new(RefCell::new(Held { machine, outbox: Vec::new() })))
    }

    /// The machine as it is now; not to be held while anything is waited for.
    pub(super) fn look(&self) -> Ref<'_, T> {
        Ref::map(self.0.borrow(), |held| &held.machine)
    }
}

impl<T: Machine> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: Machine> Machine for Shared<T> {
    type Message = T::Message;
    type Command = T::Command;
    type Event = T::Event;

    fn handle(&mut self, input: Input<T::Message, T::Command>, cx: &mut Context<'_, Self>) {
        let Held { machine, outbox } = &mut *self.0.borrow_mut();
        machine.handle(input, &mut cx.part(outbox));
        outbox.drain(..).for_each(|output| cx.emit(output));
    }

    fn wake_at(&self) -> Option<Time> {
        self.look().wake_at()
    }

    fn digest(&self, digest: &mut Digest) {
        self.look().digest(digest);
    }

    fn check(&self) {
        self.look().check();
    }
}
