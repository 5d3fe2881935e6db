//! curl as the client of one large object: each gets it once, all at the same time.

use super::load::{CIPHER, Error, Outcome};
use crate::{host::Program, process::Place};
use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// curl, with whatever library it has for TLS.
pub(crate) const CURL: Program = Program { name: "curl", package: "curl" };
/// What each says: bytes and seconds.
const SAID: &str = "%{http_code} %{size_download} %{time_total}\n";
/// Whoever takes longer has failed.
const LIMIT_SECONDS: &str = "120";

/// Lets `clients` get `url` from `core`.
pub(crate) fn read(url: &str, clients: usize, core: usize) -> Result<Outcome, Error> {
    let began = Instant::now();
    let spawn = |_| -> Result<Child, Error> {
        let mut command = Place::core(core).command(CURL.name);
        command.args(["--silent", "--show-error", "--insecure", "--http1.1", "--output"]);
        command.args(["/dev/null", "--tls13-ciphers", CIPHER, "--write-out", SAID]);
        command.args(["--max-time", LIMIT_SECONDS, url]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(Error::Unusable)
    };
    let children: Vec<Child> = (0..clients).map(spawn).collect::<Result<_, _>>()?;
    let mut times = Vec::new();
    let mut bytes = 0;
    for child in children {
        let output = child.wait_with_output().map_err(Error::Unusable)?;
        let said = parse(&String::from_utf8_lossy(&output.stdout));
        let Some((length, time)) = said.filter(|_| output.status.success()) else {
            return Err(Error::Silent(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        };
        bytes = length;
        times.push(Some(time));
    }
    let outcome = Outcome::of(&times, bytes, began.elapsed());
    outcome.ok_or_else(|| Error::Silent("nothing".to_owned()))
}

/// The length and the time of a download that succeeded.
fn parse(text: &str) -> Option<(u32, Duration)> {
    let mut words = text.split_whitespace();
    words.next().filter(|&status| status == "200")?;
    let length = words.next()?.parse().ok()?;
    Some((length, Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_says_is_understood() {
        assert_eq!(parse("200 1024 0.5\n"), Some((1024, Duration::from_millis(500))));
        assert_eq!(parse("502 1024 0.5\n"), None);
        assert_eq!(parse(""), None);
    }
}
