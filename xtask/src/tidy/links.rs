//! Links in Markdown that point into the checkout: the file must exist, and so must the heading.
//!
//! Reads inline links, images and definitions (`[name]: target`). Addresses with a scheme are not
//! followed, since CI may be without a network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Finding;
use super::files::File;

pub(super) fn check(root: &Path, files: &[File], findings: &mut Vec<Finding>) {
    let documents: Vec<&File> = files.iter().filter(|file| file.is_markdown()).collect();
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        documents.iter().map(|file| (file.path.as_str(), anchors_of(&file.text))).collect();
    for file in documents {
        for (line, target) in links_of(&file.text) {
            if let Err(message) = follow(root, &anchors, &file.path, &target) {
                findings.push(Finding::new(&file.path, line, message));
            }
        }
    }
}

fn follow(
    root: &Path,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
    from: &str,
    target: &str,
) -> Result<(), String> {
    if has_scheme(target) || target.starts_with("//") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = path.split_once('?').map_or(path, |(path, _)| path).replace("%20", " ");
    let file = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, &path) };
    let Some(file) = file.filter(|file| root.join(file).exists()) else {
        return Err(format!("links to {target}, which does not exist: mend the path"));
    };
    match anchors.get(file.as_str()) {
        Some(known) if !anchor.is_empty() && !known.contains(anchor) => {
            Err(format!("links to {target}, but {file} has no such heading: mend the anchor"))
        }
        _ => Ok(()),
    }
}

/// `path` as seen from the folder of `from`, or from the root if it begins with a slash; `None` if
/// it leaves the checkout.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> =
        if path.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn has_scheme(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// The lines outside fenced code, each with its number.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(close)) if open == close => fence = None,
            (None, None) => return Some((index + 1, line)),
            _ => {}
        }
        None
    })
}

/// The targets of all links, each with its line.
fn links_of(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        if let Some(target) = definition(&line) {
            links.push((number, target));
        }
        for (at, _) in line.match_indices("](") {
            if let Some(target) = target_of(&line[at + 2..]) {
                links.push((number, target));
            }
        }
    }
    links
}

/// The target of `[name]: target "title"`.
fn definition(line: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix('[')?;
    let (name, target) = rest.split_once("]:")?;
    let target = target.split_whitespace().next()?;
    let is_footnote = name.starts_with('^');
    (!is_footnote).then(|| target.trim_matches(['<', '>']).to_owned())
}

/// The target at the start of `rest`, which follows `](`: in angle brackets, or up to the bracket
/// that closes or the space before a title.
fn target_of(rest: &str) -> Option<String> {
    if let Some(rest) = rest.strip_prefix('<') {
        return rest.split_once('>').map(|(target, _)| target.to_owned());
    }
    let mut open = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '(' => open += 1,
            ')' if open > 0 => open -= 1,
            ')' | ' ' => return (at > 0).then(|| rest[..at].to_owned()),
            _ => {}
        }
    }
    None
}

/// `line` with the text between backticks taken out.
fn without_code(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('`') {
        kept.push_str(before);
        match after.split_once('`') {
            Some((_, beyond)) => rest = beyond,
            None => rest = after,
        }
    }
    kept.push_str(rest);
    kept
}

/// The anchors that a reader of the rendered page can jump to: headings, by the usual rule (lower
/// case, spaces to hyphens, the rest of the punctuation gone, repeated ones numbered), and `id`s.
fn anchors_of(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() < line.len() && title.starts_with(' ') {
            let plain = slug(title.trim());
            let numbered = (1..).map(|number| format!("{plain}-{number}"));
            let free =
                std::iter::once(plain.clone()).chain(numbered).find(|a| !anchors.contains(a));
            anchors.extend(free);
        }
        for mark in ["id=\"", "name=\""] {
            for (at, _) in line.match_indices(mark) {
                let id = line[at + mark.len()..].split('"').next().unwrap_or_default();
                anchors.insert(id.to_owned());
            }
        }
    }
    anchors
}

fn slug(title: &str) -> String {
    // A link in a heading shows its text only.
    let mut shown = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, beyond)| beyond);
    }
    shown.push_str(rest);
    shown
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "see [a](b.md \"title\") and ![p](<c d.png>), not `[x](y)`\n\
                    ```\n[in](code.md)\n```\n[name]: ../e.md#f\n[g](h_(i).md)\n[^1]: a note\n";
        let links = links_of(text);
        let targets: Vec<&str> = links.iter().map(|(_, target)| target.as_str()).collect();
        assert_eq!(targets, ["b.md", "c d.png", "../e.md#f", "h_(i).md"]);
        assert_eq!(links[2].0, 5);
    }

    #[test]
    fn headings_become_anchors() {
        let text =
            "# What is *it*?\n## A `b` & c\n## A `b` & c\n```\n# not this\n```\n<a id=\"x\">\n";
        let anchors = anchors_of(text);
        assert_eq!(
            anchors.iter().map(String::as_str).collect::<Vec<_>>(),
            ["a-b--c", "a-b--c-1", "what-is-it", "x"]
        );
        assert_eq!(slug("[Text](page.md) more"), "text-more");
    }

    #[test]
    fn a_link_needs_its_file_and_its_heading() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let anchors = BTreeMap::from([("src/main.rs", BTreeSet::from(["here".to_owned()]))]);
        let follow = |target| follow(root, &anchors, "src/main.rs", target);
        assert_eq!(follow("main.rs"), Ok(()));
        assert_eq!(follow("../Cargo.toml"), Ok(()));
        assert_eq!(follow("/src/tidy/"), Ok(()));
        assert_eq!(follow("https://example.com/x"), Ok(()));
        assert_eq!(follow("#here"), Ok(()));
        assert!(follow("#gone").is_err());
        assert!(follow("missing.md").is_err());
        assert!(follow("../../../../../outside").is_err());
    }

    #[test]
    fn paths_resolve_from_the_folder_of_the_page() {
        assert_eq!(resolve("docs/a.md", "b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(resolve("docs/a.md", "../b.md").as_deref(), Some("b.md"));
        assert_eq!(resolve("docs/a.md", "/b.md").as_deref(), Some("b.md"));
        assert_eq!(resolve("a.md", "../b.md"), None);
    }
}
