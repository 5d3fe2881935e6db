//! An HTTP/1 request head: one verdict however it is cut, within its limits, that reads back.
#![no_main]

use nigh_net::http1::{self, FIELDS, Framing, Head, Limits, Progress, Refusal, Scratch, Version};

/// What is said of a head, without its borrows.
type Verdict = Result<Option<(Vec<u8>, usize)>, Refusal>;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { head_bytes: 4096, target_bytes: 1024, ..Limits::default() };
    let whole = read(bytes, &limits, &mut Progress::default());
    // As the network may bring it: a byte at a time.
    let mut progress = Progress::default();
    let pieces = (0..=bytes.len())
        .map(|len| read(&bytes[..len], &limits, &mut progress))
        .find(|verdict| *verdict != Ok(None))
        .unwrap_or(Ok(None));
    // A head that never ends may be refused early when much of it is seen at once.
    assert!(pieces == whole || (pieces == Ok(None) && whole.is_err()), "{pieces:?} but {whole:?}");

    if let Ok(Some((text, _))) = whole {
        let again = read(&text, &Limits::default(), &mut Progress::default());
        let written = again.expect("what was accepted is accepted when written anew");
        let (same, len) = written.expect("and is whole");
        assert_eq!(len, text.len(), "to its last byte");
        assert_eq!(same, text, "and means the same");
    }
});

/// Reads a head and writes down what it means.
fn read(bytes: &[u8], limits: &Limits, progress: &mut Progress) -> Verdict {
    let mut scratch = Scratch::new();
    let head = http1::parse(bytes, limits, progress, &mut scratch)?;
    Ok(head.map(|head| {
        holds(&head, bytes, limits);
        (written(&head), head.len)
    }))
}

fn holds(head: &Head<'_>, bytes: &[u8], limits: &Limits) {
    assert!(head.len <= bytes.len(), "a head lies in its bytes");
    assert!(head.len <= limits.head_bytes + 2, "and within its limit");
    assert!(bytes[..head.len].ends_with(b"\r\n\r\n"), "and ends with an empty line");
    assert!(head.method_name.len() <= limits.method_bytes);
    assert!(head.target.raw.len() <= limits.target_bytes);
    assert!(head.fields.len() <= FIELDS);
    assert!(!head.expect_continue || head.framing != Framing::None, "content is waited for");
    assert!(!head.upgrade || head.version == Version::Http11, "1.0 knows no Upgrade");
    for (name, value) in &head.fields {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a value is one line");
        assert_eq!(value.trim_ascii_start().len(), value.len(), "no space before a value");
        assert_eq!(value.trim_ascii_end().len(), value.len(), "nor behind it");
    }
}

fn written(head: &Head<'_>) -> Vec<u8> {
    let minor = if head.version == Version::Http10 { 0 } else { 1 };
    let mut text =
        format!("{} {} HTTP/1.{minor}\r\n", head.method_name, head.target.raw).into_bytes();
    for (name, value) in &head.fields {
        http1::write::field(&mut text, name, value);
    }
    http1::write::end_of_head(&mut text);
    text
}
