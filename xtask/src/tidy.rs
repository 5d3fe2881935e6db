//! The rules of this workspace that no compiler checks. CONTRIBUTING.md has the reasons.

mod dependencies;
mod files;
mod layers;
mod length;
mod licence;
mod links;
mod sources;

use std::fmt;

use crate::command::Failure;
use crate::workspace::Workspace;

/// Something to mend: where, what is wrong, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks everything and prints all that was found.
pub(crate) fn run() -> Result<(), Failure> {
    let workspace = Workspace::read()?;
    let files = files::all(&workspace.root)?;

    let mut findings = Vec::new();
    layers::check(&workspace, &mut findings)?;
    dependencies::check(&workspace, &files, &mut findings)?;
    length::check(&files, &mut findings);
    links::check(&workspace.root, &files, &mut findings);
    for file in &files {
        sources::check(file, &mut findings);
    }
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing to mend", files.len());
            Ok(())
        }
        count => Err(Failure::Found(format!("tidy: {count} to mend"))),
    }
}

/// The messages that `check` finds in a file of this name and text.
#[cfg(test)]
fn found(path: &str, text: &str, check: impl Fn(&files::File, &mut Vec<Finding>)) -> Vec<String> {
    let mut findings = Vec::new();
    check(&files::File { path: path.to_owned(), text: text.to_owned() }, &mut findings);
    findings.iter().map(ToString::to_string).collect()
}
