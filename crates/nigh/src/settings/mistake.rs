//! What is wrong with a settings file: all of it, each with its place.

use std::{cell::RefCell, fmt, ops::Range};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    /// From 1 on.
    pub(crate) line: usize,
    /// Characters, from 1 on.
    pub(crate) column: usize,
    /// What is wrong, and what to write instead.
    pub(crate) message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// The mistakes that were found in a text so far.
#[derive(Debug)]
pub(super) struct Mistakes<'t> {
    text: &'t str,
    found: RefCell<Vec<Mistake>>,
}

impl<'t> Mistakes<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: RefCell::default() }
    }

    /// Something is wrong with the bytes at `span`.
    pub(super) fn add(&self, span: Range<usize>, message: impl fmt::Display) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[begin..].chars().count() + 1;
        self.found.borrow_mut().push(Mistake { line, column, message: message.to_string() });
    }

    /// All of them, in the order of the text.
    pub(super) fn into_list(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort();
        found
    }
}
