//! What must hold for any bytes that are read as a bencoded value.

use std::collections::BTreeMap;

use super::{Value, write_bytes, write_dictionary, write_list};

/// Reads `bytes`, and writes what they say in its one form.
///
/// # Panics
/// If that form is not what [`Value::is_canonical`] takes for it, or has another one itself.
pub fn value(bytes: &[u8]) {
    let Ok(value) = Value::decode(bytes) else { return };
    assert_eq!(value.raw(), bytes, "a value is all of its bytes");
    let form = canonical(value);
    assert_eq!(value.is_canonical(), form == bytes, "one form is the canonical one");
    let again = Value::decode(&form).expect("what is written can be read");
    assert!(again.is_canonical() && canonical(again) == form, "a form is its own form");
    assert_eq!(again.integer(), value.integer(), "an integer keeps its number");
}

/// The value in its one form, by sorting and writing: slowly, and plainly.
fn canonical(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(bytes) = value.bytes() {
        write_bytes(bytes, &mut out);
    } else if let Some(list) = value.list() {
        write_list(&mut out, |out| list.for_each(|value| out.extend(canonical(value))));
    } else if let Some(dictionary) = value.dictionary() {
        let mut sorted = BTreeMap::new();
        for (key, value) in dictionary {
            sorted.entry(key).or_insert_with(|| canonical(value));
        }
        write_dictionary(&mut out, |entries| {
            sorted.iter().for_each(|(key, value)| entries.key(*key).extend(value));
        });
    } else {
        // Of any length, and so as text.
        let text = str::from_utf8(value.raw()).expect("digits are text");
        let digits = text.trim_start_matches(['i', '-']).trim_start_matches('0');
        let sign = if text.starts_with("i-") && digits != "e" { "-" } else { "" };
        let zero = if digits == "e" { "0" } else { "" };
        out.extend(format!("i{sign}{zero}{digits}").bytes());
    }
    out
}
