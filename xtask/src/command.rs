//! Running other programs: each is named when it fails, and none reads from the terminal.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Why a chore did not succeed, in words for whoever ran it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was called wrongly.
    Usage(String),
    /// It ran, and something is not as it must be.
    Found(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Found(message) => formatter.write_str(message),
        }
    }
}

/// Runs `command` with its output on ours.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = shown(command);
    let status =
        command.stdin(Stdio::null()).status().map_err(|error| cannot_start(&line, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Found(format!("failed ({status}): {line}")))
    }
}

/// Runs `command`, passes each line of its output on as it comes, and lets `watch` see it.
pub(crate) fn run_watched(
    command: &mut Command,
    mut watch: impl FnMut(&str),
) -> Result<(), Failure> {
    let line = shown(command);
    let broken = |error: io::Error| Failure::Found(format!("lost the output of {line}: {error}"));
    let (reader, writer) = io::pipe().map_err(broken)?;
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone().map_err(broken)?).stderr(writer);
    let mut child = command.spawn().map_err(|error| cannot_start(&line, &error))?;
    // The command holds the writing end until it is given other ends: without this the reader
    // below would wait for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).map_err(broken)? > 0 {
        io::stdout().write_all(&bytes).map_err(broken)?;
        watch(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    let status = child.wait().map_err(broken)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Found(format!("failed ({status}): {line}")))
    }
}

/// Runs `command` and returns what it printed on standard output.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let line = shown(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| cannot_start(&line, &error))?;
    if !output.status.success() {
        return Err(Failure::Found(format!("failed ({}): {line}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| Failure::Found(format!("{line} printed what is not UTF-8: {error}")))
}

/// Whether `program` can be started with `argument` and then succeeds.
pub(crate) fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn cannot_start(line: &str, error: &io::Error) -> Failure {
    Failure::Found(format!("cannot start: {line}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_are_watched_and_the_status_is_told() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        let outcome = run_watched(&mut command, |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two"]);
        let message = outcome.expect_err("the shell exits with 3").to_string();
        assert!(message.contains("exit status: 3"), "{message}");
    }

    #[test]
    fn a_program_that_is_missing_does_not_answer() {
        assert!(answers("sh", &["-c", "true"]));
        assert!(!answers("sh", &["-c", "false"]));
        assert!(!answers("no-such-program-anywhere", &[]));
    }
}
