//! `nigh prefetch`: has a running edge fetch URLs before clients ask for them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{admin::URLS_MAX, ask::Edge, cli};

/// Without a result for so long, the edge is taken to be gone. Large objects take their time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes of the longest result: a URL, and what became of it.
const LINE_MAX: usize = 1 << 20;

/// Asks the edge's admin address for one batch after another, and prints what became of each URL.
pub(crate) fn run(flags: &cli::Prefetch) -> anyhow::Result<()> {
    let edge = flags.edge.edge()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report { json: flags.edge.json, ..Report::default() };
    report.on_terminal = io::stderr().is_terminal();
    let mut batch = Vec::new();
    for url in urls(flags)? {
        batch.push(url?);
        if batch.len() == URLS_MAX {
            runtime.block_on(fetch(&edge, &batch, flags.concurrency, &mut report))?;
            batch.clear();
        }
    }
    if !batch.is_empty() {
        runtime.block_on(fetch(&edge, &batch, flags.concurrency, &mut report))?;
    }
    report.finish()
}

/// The URLs that are named, and then those that are read.
fn urls(flags: &cli::Prefetch) -> anyhow::Result<impl Iterator<Item = anyhow::Result<String>>> {
    let from: Box<dyn BufRead> = match flags.from.as_deref() {
        None => Box::new(io::empty()),
        Some(path) if path == Path::new("-") => Box::new(io::stdin().lock()),
        Some(path) => {
            let file = File::open(path);
            let file = file.with_context(|| format!("cannot read {}", path.display()))?;
            Box::new(BufReader::new(file))
        }
    };
    let read = from.lines().filter_map(|line| match line {
        Ok(line) => {
            let line = line.trim();
            (!line.is_empty() && !line.starts_with('#')).then(|| Ok(line.to_owned()))
        }
        Err(error) => Some(Err(anyhow::Error::from(error).context("cannot read the URLs"))),
    });
    Ok(flags.urls.clone().into_iter().map(Ok).chain(read))
}

/// Has a batch fetched, and reports each result as it comes.
async fn fetch(
    edge: &Edge,
    urls: &[String],
    concurrency: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let wanted = json!({ "urls": urls, "concurrency": concurrency }).to_string();
    let response = edge.send(Method::POST, "/v1/prefetch", Bytes::from(wanted)).await?;
    let (mut content, mut held, mut results) = (response.into_body(), Vec::new(), 0);
    while results < urls.len() {
        let frame = timeout(PATIENCE, content.frame()).await;
        let Some(frame) = frame.context("the edge says nothing any more")? else { break };
        let frame = frame.context("the answer broke off")?;
        held.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            report.add(&serde_json::from_slice(&line).context("that is no nigh edge")?)?;
            results += 1;
        }
        ensure!(held.len() <= LINE_MAX, "that is no nigh edge");
    }
    ensure!(results == urls.len(), "the edge ended after {results} of {} URLs", urls.len());
    Ok(())
}

/// What has become of the URLs so far.
#[derive(Debug, Default)]
struct Report {
    json: bool,
    on_terminal: bool,
    done: u64,
    stored: u64,
    there: u64,
    others: u64,
    bytes: u64,
}

impl Report {
    fn add(&mut self, result: &Value) -> anyhow::Result<()> {
        self.done += 1;
        self.bytes += result["bytes"].as_u64().unwrap_or(0);
        let outcome = result["outcome"].as_str().context("that is no nigh edge")?;
        match outcome {
            "stored" => self.stored += 1,
            "fresh" | "stale" => self.there += 1,
            _ => self.others += 1,
        }
        self.wipe()?;
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{result}")?;
        } else {
            let url = result["url"].as_str().unwrap_or_default();
            match result["why"].as_str() {
                Some(why) => writeln!(out, "{outcome:<10} {url}: {why}")?,
                None => writeln!(out, "{outcome:<10} {url} ({} bytes)", result["bytes"])?,
            }
        }
        out.flush()?;
        self.progress(if self.on_terminal { "" } else { "\n" })
    }

    /// In a terminal the line of progress is written over and over; elsewhere only now and then.
    fn progress(&self, end: &str) -> anyhow::Result<()> {
        let due = self.on_terminal || self.done.is_multiple_of(100);
        if due {
            let mut err = io::stderr().lock();
            write!(err, "{}{end}", self.summary())?;
            err.flush()?;
        }
        Ok(())
    }

    fn wipe(&self) -> anyhow::Result<()> {
        if self.on_terminal {
            write!(io::stderr().lock(), "\r\x1b[K")?;
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let Self { done, stored, there, others, bytes, .. } = self;
        format!(
            "{done} done: {stored} stored, {there} there already, {others} not stored; {bytes} bytes"
        )
    }

    fn finish(self) -> anyhow::Result<()> {
        self.wipe()?;
        writeln!(io::stderr().lock(), "{}", self.summary())?;
        if self.others > 0 {
            bail!("{} of {} URLs are not stored", self.others, self.done);
        }
        Ok(())
    }
}
