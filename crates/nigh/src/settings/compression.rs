//! `compress`, and what goes with it.

use std::{str::FromStr, sync::Arc};

use nigh_base::ByteSize;
use nigh_edge::site::{Coding, Compress, LEAST, TYPES};

use super::document::Section;

/// Types that one rule may name: each response is held against them one by one.
const TYPES_MAX: usize = 100;

/// Reads what a path's responses are compressed with.
pub(super) fn read(section: &mut Section<'_>) -> Option<Arc<Compress>> {
    let codings = if section.is_truth("compress") {
        let on = section.truth("compress").unwrap_or_default();
        Some(if on { Coding::ALL.to_vec() } else { Vec::new() })
    } else {
        section.list("compress", coding)
    };
    let types = section.list("compress_types", media_type);
    let least = section.parsed("compress_min", ByteSize::from_str);
    let codings = codings.filter(|codings| !codings.is_empty());
    for other in ["compress_types", "compress_min"] {
        if section.has(other) && !section.has("compress") {
            let message = format!("`{other}` does nothing alone: write compress = true beside it");
            section.mistake(other, message);
        }
    }
    if types.as_ref().is_some_and(|types| types.len() > TYPES_MAX) {
        section.mistake("compress_types", format!("at most {TYPES_MAX} types are listed"));
    }
    let types = types.unwrap_or_else(|| TYPES.map(Box::from).into());
    let least = least.map_or(LEAST, ByteSize::bytes);
    codings.map(|codings| Arc::new(Compress::new(&codings, types, least)))
}

fn coding(text: &str) -> Result<Coding, String> {
    let named = Coding::ALL.into_iter().find(|coding| coding.as_str() == text);
    named.ok_or_else(|| {
        format!("`{text}` is no coding that is made here: there are zstd, br and gzip")
    })
}

fn media_type(text: &str) -> Result<Box<str>, String> {
    let is_type = text.contains('/') || text.starts_with("*+");
    let stars = text.bytes().filter(|byte| *byte == b'*').count();
    let at_an_end = text.starts_with('*') || text.ends_with('*');
    let is_clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"".contains(&byte));
    if is_type && is_clean && (stars == 0 || stars == 1 && at_an_end) {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err(format!("`{text}` names no types: write text/html, text/* or *+json"))
    }
}
