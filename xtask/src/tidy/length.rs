//! Files that a person can read at one sitting: 800 lines up to the inline test module.
//!
//! The few that are longer stand in a list with their length, and may only shrink. TigerBeetle's
//! `tidy.zig` does the same with functions.

use super::Finding;
use super::files::File;

/// The most lines of a file, its inline tests not counted.
const MAX_LINES: usize = 800;

/// Files that may be longer, one a line: `path lines`. Entries shrink and go; none is added.
const LIST: &str = include_str!("long-files.txt");
const LIST_PATH: &str = "xtask/src/tidy/long-files.txt";

pub(super) fn check(files: &[File], findings: &mut Vec<Finding>) {
    check_against(LIST, files, findings);
}

fn check_against(list: &str, files: &[File], findings: &mut Vec<Finding>) {
    let mut listed = Vec::new();
    for (index, line) in list.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(' ').map(|(path, lines)| (path, lines.parse::<usize>())) {
            Some((path, Ok(lines))) => listed.push((index + 1, path, lines)),
            _ => findings.push(Finding::new(LIST_PATH, index + 1, "is not `path lines`")),
        }
    }
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = lines_before_tests(&file.text);
        let entry = listed.iter().find(|(_, path, _)| *path == file.path);
        match entry {
            None if lines > MAX_LINES => findings.push(Finding::new(
                &file.path,
                MAX_LINES + 1,
                format!(
                    "{lines} lines, {MAX_LINES} are the limit: split it by phase or by resource"
                ),
            )),
            Some((_, _, most)) if lines > *most => findings.push(Finding::new(
                &file.path,
                most + 1,
                format!("{lines} lines, was {most}, and may only shrink: move something out of it"),
            )),
            _ => {}
        }
    }
    for (line, path, most) in listed {
        let lines = files
            .iter()
            .find(|file| file.path == path)
            .map_or(0, |file| lines_before_tests(&file.text));
        if lines <= MAX_LINES {
            let message = format!("{path} is within {MAX_LINES} lines or gone: delete this line");
            findings.push(Finding::new(LIST_PATH, line, message));
        } else if lines < most {
            let message = format!("{path} has shrunk: write {lines} here instead of {most}");
            findings.push(Finding::new(LIST_PATH, line, message));
        }
    }
}

/// Lines up to an inline `mod tests { ... }`, which stands last in a file.
fn lines_before_tests(text: &str) -> usize {
    let mut previous_is_gate = false;
    for (index, line) in text.lines().enumerate() {
        if previous_is_gate && line.starts_with("mod ") && line.ends_with('{') {
            return index - 1;
        }
        previous_is_gate = line == "#[cfg(test)]";
    }
    text.lines().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(list: &str, lines: usize) -> Vec<String> {
        let text = format!("{}#[cfg(test)]\nmod tests {{\n}}\n", "//\n".repeat(lines));
        let files = [File { path: "a.rs".into(), text }];
        let mut findings = Vec::new();
        check_against(list, &files, &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn inline_tests_do_not_count_and_800_lines_are_the_limit() {
        assert!(check_one("", 800).is_empty());
        assert!(check_one("", 801)[0].starts_with("a.rs:801: 801 lines"));
    }

    #[test]
    fn a_listed_file_may_only_shrink() {
        assert!(check_one("a.rs 900", 900).is_empty());
        assert!(check_one("a.rs 900", 901)[0].starts_with("a.rs:901: 901 lines, was 900"));
        assert!(check_one("# why\na.rs 900", 850)[0].contains(":2: a.rs has shrunk: write 850"));
        assert!(check_one("a.rs 900", 700)[0].ends_with("delete this line"));
        assert!(check_one("b.rs 900", 700)[0].ends_with("delete this line"));
        assert!(check_one("what is this", 1)[0].ends_with("is not `path lines`"));
    }
}
