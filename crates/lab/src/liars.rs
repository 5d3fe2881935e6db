//! Nodes that are honest until they are told to lie.

use nigh_base::{
    Address, Digest, Machine, Time,
    machine::{Context, Input, Outbox},
};

/// A node that can lie.
pub(crate) trait Liar: Machine {
    /// How it lies.
    type Lie: std::fmt::Debug;

    /// What it says to `message`, each to whom; none if it does as honest nodes do.
    fn lie(
        &self,
        lie: &Self::Lie,
        from: Address,
        message: &Self::Message,
    ) -> Option<Vec<(Address, Self::Message)>>;
}

/// A node of an experiment with liars.
#[derive(Debug)]
pub(crate) struct Player<T: Liar> {
    node: T,
    /// How it lies, while it does.
    lie: Option<T::Lie>,
    outbox: Outbox<T>,
}

/// What a node is told.
#[derive(Debug)]
pub(crate) enum Order<T: Liar> {
    /// What it does as an honest one.
    Honest(T::Command),
    /// How it lies from now on, if it does.
    Lie(Option<T::Lie>),
}

impl<T: Liar> Player<T> {
    pub(crate) const fn honest(node: T) -> Self {
        Self { node, lie: None, outbox: Vec::new() }
    }
}

impl<T: Liar + std::fmt::Debug> Machine for Player<T> {
    type Message = T::Message;
    type Command = Order<T>;
    type Event = T::Event;

    fn handle(&mut self, input: Input<T::Message, Order<T>>, cx: &mut Context<'_, Self>) {
        let input = match input {
            Input::Command(Order::Lie(lie)) => {
                self.lie = lie;
                return;
            }
            Input::Command(Order::Honest(command)) => Input::Command(command),
            Input::Message { from, message } => {
                let answers = self.lie.as_ref().and_then(|lie| self.node.lie(lie, from, &message));
                if let Some(answers) = answers {
                    answers.into_iter().for_each(|(to, message)| cx.send(to, message));
                    return;
                }
                Input::Message { from, message }
            }
            Input::Wake => Input::Wake,
            // Nodes have neither links nor a disk.
            _ => return,
        };
        self.node.handle(input, &mut cx.part(&mut self.outbox));
        for output in self.outbox.drain(..) {
            cx.emit(output);
        }
    }

    fn wake_at(&self) -> Option<Time> {
        self.node.wake_at()
    }

    fn digest(&self, digest: &mut Digest) {
        self.node.digest(digest);
    }
}
