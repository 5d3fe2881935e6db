//! `nigh purge`, and the edge's side of it: `POST /v1/purge?url=|prefix=|host=|tag=|all[&soft]`.

use std::{io::Write, time::Instant};

use anyhow::{bail, ensure};
use http::Method;
use nigh_base::machine::DiskError;
use nigh_cache::{
    disk::Queue,
    purge::{Rule, TEXT_MAX, What},
};
use nigh_net::clock;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::{admin, ask, cli, edge::Running};

/// What a query asks to be forgotten.
#[derive(Debug, Default)]
struct Asked {
    urls: Vec<String>,
    rule: Option<What>,
    soft: bool,
}

impl Asked {
    fn parse(query: &str) -> anyhow::Result<Self> {
        let mut asked = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = ask::percent_decode(value);
            let what = match name {
                "url" => {
                    asked.urls.push(value);
                    continue;
                }
                "soft" => {
                    asked.soft = true;
                    continue;
                }
                "all" => What::All,
                "prefix" => What::Prefix(ask::prefix_of(&value)?.into()),
                "host" => What::Host(value.as_bytes().into()),
                "tag" => What::Tag(value.as_bytes().into()),
                _ => bail!("`{name}` is none of url, prefix, host, tag, all and soft"),
            };
            ensure!(what == What::All || !value.is_empty(), "`{name}` wants a value");
            ensure!(value.len() <= TEXT_MAX, "`{name}` is longer than {TEXT_MAX} bytes");
            ensure!(asked.rule.is_none(), "one prefix, host or tag at a time");
            asked.rule = Some(what);
        }
        ensure!(
            asked.rule.is_some() == asked.urls.is_empty(),
            "say what: URLs, or a prefix, a host, a tag, or all"
        );
        Ok(asked)
    }
}

/// Does what is asked, and says what was done.
pub(crate) async fn answer(running: &Running, query: &str) -> anyhow::Result<Value> {
    let began = Instant::now();
    let asked = Asked::parse(query)?;
    let now = clock::now();
    let (mut id, mut removed) = (None, None);
    let disk = running.disk.as_ref();
    let mut durable = None;
    match asked.rule {
        Some(what) => {
            let (number, rule) = running.store.purge(Rule { what, soft: asked.soft, at: now });
            id = Some(number);
            if let Some(disk) = disk {
                durable = Some(until_durable(|done| disk.queue().purge(number, rule, done)).await);
            }
        }
        None => {
            let mut count = 0;
            for url in &asked.urls {
                let (key, _) = ask::key_of(running, url)?;
                let key = running.store.key(&key);
                if let Some(disk) = disk.filter(|_| asked.soft) {
                    disk.load(&running.store, key, || false).await;
                }
                count += running.store.purge_key(key, asked.soft.then_some(now));
            }
            removed = Some(count);
            if let Some(disk) = disk {
                durable = Some(until_durable(|done| Queue::sync(disk.queue(), done)).await);
            }
        }
    }
    Ok(json!({
        "id": id,
        "soft": asked.soft,
        "variants": removed,
        "durable": durable.as_ref().map(Result::is_ok),
        "problem": durable.and_then(Result::err),
        "micros": u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
    }))
}

type Done = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

/// Waits until the disk's writer has made it durable.
async fn until_durable(work: impl FnOnce(Done)) -> Result<(), String> {
    let (sender, receiver) = oneshot::channel();
    work(Box::new(move |result| {
        // Who has stopped waiting need not know.
        let _ = sender.send(result);
    }));
    match receiver.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!(
            "it is in effect, but {error}: a restart before the disk can be written may undo it"
        )),
        Err(_) => Err("the edge is ending".to_owned()),
    }
}

/// Asks the edge's admin address.
pub(crate) fn run(flags: &cli::Purge) -> anyhow::Result<()> {
    let what = &flags.what;
    let mut query: Vec<String> = what.urls.iter().map(|url| pair("url", url)).collect();
    for (name, value) in [("prefix", &what.prefix), ("host", &what.host), ("tag", &what.tag)] {
        query.extend(value.iter().map(|value| pair(name, value)));
    }
    query.extend(what.all.then(|| "all".to_owned()));
    query.extend(flags.soft.then(|| "soft".to_owned()));
    let path = format!("/v1/purge?{}", query.join("&"));
    let answer = admin::ask(Method::POST, flags.admin, &path)?;
    let mut out = std::io::stdout().lock();
    if flags.json {
        writeln!(out, "{answer}")?;
    } else {
        let how = if flags.soft { "stale" } else { "forgotten" };
        let what = match answer["variants"].as_u64() {
            Some(variants) => format!("{variants} in memory"),
            None => format!("rule {}", answer["id"]),
        };
        let disk = match answer["durable"].as_bool() {
            None => "",
            Some(true) => ", on disk too",
            Some(false) => ", but not on disk",
        };
        writeln!(out, "{how}: {what}{disk}, in {} us", answer["micros"])?;
    }
    if let Some(problem) = answer["problem"].as_str() {
        bail!("{problem}");
    }
    Ok(())
}

fn pair(name: &str, value: &str) -> String {
    format!("{name}={}", ask::percent_encode(value))
}
