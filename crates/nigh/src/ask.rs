//! What the edge knows of a URL, as data: the answer behind `/v1/explain` and `nigh explain`.

use anyhow::{Context, bail};
use http::Uri;
use nigh_base::Wall;
use nigh_cache::{
    key::{self, Scheme},
    object::Object,
};
use serde_json::{Value, json};

use crate::edge::Running;

/// Everything that is known of `url` now.
pub(crate) fn explain(running: &Running, url: &str, now: Wall) -> anyhow::Result<Value> {
    let (bytes, bypass) = key_of(running, url)?;
    let key = running.store.key(&bytes);
    let variants: Vec<Value> =
        running.store.variants(key).iter().map(|object| variant(object, now)).collect();
    let refusal = running.store.refusal(key);
    Ok(json!({
        "url": url,
        "key": String::from_utf8_lossy(&bytes),
        "bypass": bypass,
        "stored": !variants.is_empty(),
        "variants": variants,
        "not_stored_because": refusal.map(|why| why.as_str()),
    }))
}

/// The key under which the answer to a URL is stored, as clients ask for it, and whether its rule
/// has it pass the store by.
pub(crate) fn key_of(running: &Running, url: &str) -> anyhow::Result<(Vec<u8>, bool)> {
    let (scheme, authority, path) = parts(url)?;
    let sites = running.sites();
    let mut bytes = Vec::new();
    let Some(site) = sites.find(&authority) else {
        // A forward proxy keeps http under its own URL.
        if running.forward.is_some() && scheme == Scheme::Http {
            key::write(scheme, &authority, &path, &mut bytes);
            return Ok((bytes, false));
        }
        bail!("no site of this edge has the host {authority}");
    };
    let rule = site.rules.rule(site.rules.find(&path));
    rule.write_key(scheme, &authority, &path, &mut bytes);
    Ok((bytes, rule.bypass))
}

/// The beginning of the keys of all that is stored under URLs which begin so.
pub(crate) fn prefix_of(url: &str) -> anyhow::Result<Vec<u8>> {
    let (scheme, authority, path) = parts(url)?;
    let mut bytes = Vec::new();
    key::write(scheme, &authority, &path, &mut bytes);
    Ok(bytes)
}

/// Scheme, authority, and path with query.
fn parts(url: &str) -> anyhow::Result<(Scheme, String, String)> {
    let uri: Uri = url.parse().with_context(|| "that is no URL".to_owned())?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => bail!("the URL must begin with http:// or https://, as clients ask for it"),
    };
    let authority = uri.authority().context("the URL names no host")?.as_str();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((scheme, authority.to_owned(), path.to_owned()))
}

fn variant(object: &Object, now: Wall) -> Value {
    let sum = object.terms().explain(&object.fields(), now);
    let names: Vec<&str> = object.vary().iter().map(|name| name.as_str()).collect();
    let fields: Vec<[String; 2]> = object
        .fields()
        .iter()
        .map(|(name, value)| [name.to_owned(), String::from_utf8_lossy(value).into_owned()])
        .collect();
    json!({
        "status": object.status().as_u16(),
        "length": object.length(),
        "whole": object.is_whole(),
        "charged_bytes": object.charged(),
        "vary": names,
        "selecting": String::from_utf8_lossy(object.selecting()),
        "freshness": {
            "fresh": sum.ttl > 0 && !sum.no_cache,
            "ttl": sum.ttl,
            "lifetime": sum.lifetime,
            "lifetime_from": sum.source.as_str(),
            "targeted": sum.targeted,
            "age": sum.age,
            "age_field": sum.age_value,
            "apparent_age": sum.apparent_age,
            "response_delay": sum.response_delay,
            "initial_age": sum.initial_age,
            "resident": sum.resident,
            "stale_while_revalidate": sum.stale_while_revalidate,
            "stale_if_error": sum.stale_if_error,
            "never_stale": sum.never_stale,
            "no_cache": sum.no_cache,
        },
        "fields": fields,
    })
}

/// Undoes percent-encoding; what is malformed stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                out.push(decoded);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes what cannot stand in a query as it is.
pub(crate) fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:?=".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_the_query_it_travels_in() {
        for url in ["http://a/b?c=d&e=%20f", "http://a/%", "http://a/ü+%zz"] {
            assert_eq!(percent_decode(&percent_encode(url)), url);
        }
    }
}
