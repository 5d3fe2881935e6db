//! What a file must say or may not: a module doc, nothing left undone, no path of one machine.

use super::Finding;
use super::files::File;

/// What code may not contain, and what to do instead. Spelled in halves: this file is read too.
const LEFT_UNDONE: [(&str, &str); 4] = [
    (concat!("to", "do!("), "write the code, or leave the branch out"),
    (concat!("unimpl", "emented!("), "write the code, or return an error that says so"),
    (concat!("db", "g!("), "take it out, or make it a trace event"),
    (concat!("#[ig", "nore"), "mend the test or delete it: one that never runs proves nothing"),
];

/// Where people's checkouts and home folders lie.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    if file.is_rust() {
        module_doc(file, findings);
        left_undone(file, findings);
    }
    machine_paths(file, findings);
}

fn module_doc(file: &File, findings: &mut Vec<Finding>) {
    let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.trim_start_matches("//!").trim().is_empty() || !first.starts_with("//!") {
        let message = "does not open with `//!`: say in one sentence what the file is for";
        findings.push(Finding::new(&file.path, 1, message));
    }
}

fn left_undone(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (token, advice) in LEFT_UNDONE {
            if contains_token(line, token) {
                let message = format!("contains `{token}`: {advice}");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
}

fn machine_paths(file: &File, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        for path in MACHINE_PATHS {
            if contains_token(line, path) {
                let message = format!(
                    "names a path of one machine, `{path}`: make it relative to the checkout"
                );
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
}

/// Whether `line` has `token` where it is not the end of a longer word or path.
fn contains_token(line: &str, token: &str) -> bool {
    line.match_indices(token).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '}' | '-' | '>'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    #[test]
    fn every_source_opens_with_a_module_doc() {
        assert!(found("a.rs", "//! What it is.\n", check).is_empty());
        for text in ["", "use std::fs;\n", "//!\n", "// no\n//! What it is.\n"] {
            assert_eq!(found("a.rs", text, check).len(), 1, "{text:?}");
        }
        assert!(found("a.md", "# Title\n", check).is_empty());
    }

    #[test]
    fn what_is_left_undone_is_found_outside_comments() {
        for (token, _) in LEFT_UNDONE {
            let text = format!("//! A file.\n    x = {token}\n");
            assert!(found("a.rs", &text, check)[0].starts_with("a.rs:2: contains"), "{token}");
            assert!(found("a.rs", &format!("//! A file.\n// {token}\n"), check).is_empty());
            assert!(found("a.md", &text, check).is_empty());
        }
    }

    #[test]
    fn paths_of_one_machine_are_found_but_not_those_of_a_url() {
        let path = MACHINE_PATHS[0];
        assert_eq!(found("a.md", &format!("see `{path}me/x`"), check).len(), 1);
        assert!(found("a.md", &format!("http://example.com{path}me"), check).is_empty());
    }
}
