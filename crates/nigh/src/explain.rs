//! `nigh explain URL`: the answer of a running edge, in words.

use std::io::Write;

use http::Method;
use serde_json::Value;

use crate::{ask, cli};

/// Asks the edge's admin address and prints what it says.
pub(crate) fn run(flags: &cli::Explain) -> anyhow::Result<()> {
    let path = format!("/v1/explain?url={}", ask::percent_encode(&flags.url));
    let answer = flags.edge.edge()?.ask(Method::GET, &path)?;
    let mut out = std::io::stdout().lock();
    if flags.edge.json {
        writeln!(out, "{answer}")?;
    } else {
        out.write_all(in_words(&answer).as_bytes())?;
    }
    Ok(())
}

fn in_words(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = format!("key      {}\n", text(&answer["key"]));
    let names = |of: &str| -> Vec<String> {
        answer[of].as_array().into_iter().flatten().map(text).collect()
    };
    let (edges, parents) = (names("edges"), names("parents"));
    if !edges.is_empty() {
        out += &format!("edges    {}: the owner first\n", edges.join(", "));
        if let Some(count) = answer["passed_by"].as_u64().filter(|count| *count > 0) {
            out += &format!("spills   in demand, it passes by the first {count}: too much to do\n");
        }
    }
    if !parents.is_empty() {
        out += &format!("parent   {}: asked in the origin's stead\n", parents.join(", "));
    }
    let variants = answer["variants"].as_array().map_or(&[][..], Vec::as_slice);
    if variants.is_empty() {
        out += "stored   no\n";
        match answer["not_stored_because"].as_str() {
            _ if answer["bypass"] == true => out += "because  its path goes by the cache\n",
            Some(why) => out += &format!("because  {why}\n"),
            None => {
                out += "because  nobody has asked for it lately, or it has left for want of room\n"
            }
        }
    }
    for (at, variant) in variants.iter().enumerate() {
        let f = &variant["freshness"];
        let number = |name: &str| f[name].as_i64().unwrap_or(0);
        let vary: Vec<String> =
            variant["vary"].as_array().into_iter().flatten().map(text).collect();
        out += &format!(
            "\nvariant  {} of {}: status {}, {} bytes{}, charged {}\n",
            at + 1,
            variants.len(),
            variant["status"],
            variant["length"],
            if variant["whole"] == true { "" } else { " (in part)" },
            variant["charged_bytes"],
        );
        if vary.is_empty() {
            out += "varies   on nothing\n";
        } else {
            let selecting = text(&variant["selecting"]);
            out += &format!(
                "varies   on {}: {}\n",
                vary.join(", "),
                selecting.trim().replace('\n', " ")
            );
        }
        out += &format!(
            "fresh    {}: {} s left = lifetime {} ({}{}) - age {}\n",
            if f["fresh"] == true { "yes" } else { "no" },
            number("ttl"),
            number("lifetime"),
            text(&f["lifetime_from"]),
            if f["targeted"] == true { ", targeted" } else { "" },
            number("age"),
        );
        out += &format!(
            "age      {} = {} on arrival (Age {}, Date {} s before, delay {}) + {} here\n",
            number("age"),
            number("initial_age"),
            number("age_field"),
            number("apparent_age"),
            number("response_delay"),
            number("resident"),
        );
        out += &format!(
            "stale    {}\n",
            match (
                f["never_stale"] == true,
                number("stale_while_revalidate"),
                number("stale_if_error")
            ) {
                (true, _, _) => "never served".to_owned(),
                (false, 0, 0) => "only while the origin cannot be reached".to_owned(),
                (false, revalidating, failing) => format!(
                    "{revalidating} s while it is validated, {failing} s when the origin fails"
                ),
            }
        );
        for field in variant["fields"].as_array().into_iter().flatten() {
            out += &format!("  {}: {}\n", text(&field[0]), text(&field[1]));
        }
    }
    out
}
