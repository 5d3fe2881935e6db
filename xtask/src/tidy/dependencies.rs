//! What we build on: used, from crates.io, under a licence that lets us, and one version of each in
//! what users get.

use std::collections::BTreeMap;

use crate::command::{self, Failure};
use crate::workspace::{Workspace, cargo};

use super::Finding;
use super::files::File;
use super::licence;

/// Packages that the product may link in several versions, one a line: `name reason`.
const TWICE: &str = include_str!("twice.txt");
const TWICE_PATH: &str = "xtask/src/tidy/twice.txt";

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(
    workspace: &Workspace,
    files: &[File],
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    unused(workspace, files, findings);
    for file in files {
        match file.path.as_str() {
            "Cargo.toml" => undeclared(workspace, file, findings),
            "Cargo.lock" => sources(file, findings),
            _ => {}
        }
    }
    // Duplicates and licences matter in what is shipped, so only what the binary links is asked for.
    let tree = command::read(cargo().args([
        "tree",
        "--locked",
        "--package",
        "nigh",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}|{l}",
    ]))?;
    shipped(&tree, TWICE, findings);
    Ok(())
}

/// Dependencies of a crate that none of its sources names.
fn unused(workspace: &Workspace, files: &[File], findings: &mut Vec<Finding>) {
    for package in &workspace.packages {
        let folder = package.manifest.trim_end_matches("Cargo.toml");
        let sources =
            || files.iter().filter(|file| file.is_rust() && file.path.starts_with(folder));
        for (name, in_code) in &package.dependencies {
            let named = sources().any(|file| file.text.lines().any(|line| names(line, in_code)));
            if !named && !package.unnamed.contains(name) {
                let message = format!(
                    "{name} is not named in any source: take it out, or list it in [package.metadata.tidy] unnamed with the reason"
                );
                findings.push(Finding::new(&package.manifest, 1, message));
            }
        }
    }
}

/// Whether `line` is code that has `word` as a whole word.
fn names(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    !line.trim_start().starts_with("// ")
        && line.match_indices(word).any(|(at, _)| {
            !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
        })
}

/// Versions in the root manifest that no crate uses.
fn undeclared(workspace: &Workspace, root: &File, findings: &mut Vec<Finding>) {
    let table = root.text.lines().enumerate().skip_while(|(_, l)| *l != "[workspace.dependencies]");
    for (index, line) in table.skip(1).take_while(|(_, line)| !line.starts_with('[')) {
        let Some((name, _)) = line.split_once([' ', '=']).filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let mut all = workspace.packages.iter().flat_map(|package| &package.dependencies);
        if !all.any(|(used, in_code)| used == name || *in_code == name.replace('-', "_")) {
            let message = format!("{name} is used by no crate: take this line out");
            findings.push(Finding::new(&root.path, index + 1, message));
        }
    }
}

/// Packages in the lockfile that come from elsewhere than crates.io.
fn sources(lock: &File, findings: &mut Vec<Finding>) {
    for (index, line) in lock.text.lines().enumerate() {
        if let Some(source) = line.strip_prefix("source = ")
            && source.trim_matches('"') != REGISTRY
        {
            let message = format!("comes from {source}: use a version that crates.io has");
            findings.push(Finding::new(&lock.path, index + 1, message));
        }
    }
}

/// Judges the lines `name version ...|licence` of `tree`.
fn shipped(tree: &str, twice: &str, findings: &mut Vec<Finding>) {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in tree.lines() {
        let Some((package, licence)) = line.split_once('|') else { continue };
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let known = versions.entry(name).or_default();
        if known.contains(&version) {
            continue;
        }
        known.push(version);
        // Repeated packages carry a mark instead of what was already said.
        let licence = licence.trim_end_matches(" (*)");
        if !licence::is_allowed(licence) {
            let message = format!(
                "{name} {version} is under {licence:?}, which is not among the licences of xtask/src/tidy/licence.rs: do without it, or argue for the licence there"
            );
            findings.push(Finding::new("Cargo.lock", 1, message));
        }
    }
    let excused: Vec<(usize, &str)> = twice
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|(index, line)| line.split_once(' ').map(|(name, _)| (index + 1, name)))
        .collect();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !excused.iter().any(|(_, excused)| excused == name) {
            let message = format!(
                "the binary links {name} as {}: bring the versions together (cargo tree -p nigh -i {name}), or give the reason in {TWICE_PATH}",
                versions.join(" and ")
            );
            findings.push(Finding::new("Cargo.lock", 1, message));
        }
    }
    for (line, name) in excused {
        if versions.get(name).is_none_or(|versions| versions.len() < 2) {
            let message = format!("{name} is linked once or not at all: delete this line");
            findings.push(Finding::new(TWICE_PATH, line, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::found;

    #[test]
    fn a_dependency_is_named_by_a_whole_word() {
        assert!(names("use http_body::Body;", "http_body"));
        assert!(names("    http::Uri::from(x)", "http"));
        assert!(names("/// ```ignore uses http", "http"));
        assert!(!names("use http_body::Body;", "http"));
        assert!(!names("// http is not needed here", "http"));
    }

    #[test]
    fn other_sources_than_the_registry_are_found() {
        let lock = format!("source = \"{REGISTRY}\"\nsource = \"git+https://example.com/x\"\n");
        assert!(found("Cargo.lock", &lock, sources)[0].starts_with("Cargo.lock:2: comes from"));
    }

    #[test]
    fn shipped_packages_come_once_and_under_a_known_licence() {
        let tree = "a v1.0.0|MIT\na v2.0.0|MIT\nb v1.0.0 (/x)|GPL-3.0-only\na v1.0.0|MIT (*)\n";
        let check = |twice| {
            let mut findings = Vec::new();
            shipped(tree, twice, &mut findings);
            findings.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let messages = check("");
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].contains("b v1.0.0 is under \"GPL-3.0-only\""));
        assert!(messages[1].contains("links a as v1.0.0 and v2.0.0"));
        assert_eq!(check("# why\na needed by x and y").len(), 1);
        assert!(check("c gone")[2].ends_with(
            "xtask/src/tidy/twice.txt:1: c is linked once or not at all: delete this line"
        ));
    }
}
