//! Heads as they are read: what each says, and what each limit answers.

use nigh_cache::fields::Fields;

use super::*;

/// Calls `parse` once, and shows what `look` takes from the head.
fn check<T>(
    text: &str,
    limits: &Limits,
    look: impl Fn(&Head<'_>) -> T,
) -> Result<Option<T>, Refusal> {
    let bytes = text.replace('|', "\r\n").into_bytes();
    let mut scratch = Scratch::new();
    let head = parse(&bytes, limits, &mut Progress::default(), &mut scratch)?;
    Ok(head.map(|head| look(&head)))
}

fn whole<T>(text: &str, look: impl Fn(&Head<'_>) -> T) -> T {
    check(text, &Limits::default(), look).expect("accepted").expect("complete")
}

#[test]
fn a_head_says_what_is_asked_and_where_its_content_begins() {
    let text = "|POST /a?b HTTP/1.1|HOST: x.org:81|Content-Length: 3||abc";
    whole(text, |head| {
        assert_eq!((head.method, head.method_name), (Method::Post, "POST"));
        assert_eq!(head.version, Version::Http11);
        assert_eq!(head.target.path_and_query, "/a?b");
        assert_eq!((head.target.host, head.target.port), (Some("x.org"), Some(81)));
        assert_eq!(head.fields.first("host"), Some(&b"x.org:81"[..]));
        assert_eq!(head.framing, Framing::Length(3));
        assert_eq!(head.len, text.replace('|', "\r\n").len() - 3);
    });
}

#[test]
fn a_connection_persists_as_its_version_and_options_say() {
    for (version, lines, persistent) in [
        ("1.1", "", true),
        ("1.1", "Connection: close|", false),
        ("1.1", "Connection: keep-alive|Connection: x, Close|", false),
        ("1.0", "", false),
        ("1.0", "Connection: x ,Keep-Alive|", true),
        ("1.0", "Connection: keep-alive, close|", false),
        ("1.7", "", true),
    ] {
        let text = format!("GET / HTTP/{version}|Host: x|{lines}|");
        assert_eq!(whole(&text, |head| head.persistent), persistent, "{text}");
    }
}

#[test]
fn a_continue_is_awaited_only_by_who_has_content_and_knows_it() {
    for (version, lines, awaited) in [
        ("1.1", "Content-Length: 1|", true),
        ("1.1", "Transfer-Encoding: chunked|", true),
        ("1.1", "Content-Length: 0|", false),
        ("1.1", "", false),
        ("1.0", "Content-Length: 1|", false),
    ] {
        let text = format!("PUT / HTTP/{version}|Host: x|Expect: 100-Continue|{lines}|");
        assert_eq!(whole(&text, |head| head.expect_continue), awaited, "{text}");
    }
}

#[test]
fn an_upgrade_is_offered_by_both_fields_together() {
    for (version, lines, offered) in [
        ("1.1", "Connection: keep-alive, Upgrade|Upgrade: websocket|", true),
        ("1.1", "Upgrade: websocket|", false),
        ("1.1", "Connection: upgrade|", false),
        ("1.0", "Connection: upgrade|Upgrade: websocket|", false),
    ] {
        let text = format!("GET / HTTP/{version}|Host: x|{lines}|");
        assert_eq!(whole(&text, |head| head.upgrade), offered, "{text}");
    }
}

#[test]
fn each_limit_has_its_status() {
    let limits = Limits {
        head_bytes: 100,
        method_bytes: 8,
        target_bytes: 20,
        fields: 3,
        ..Limits::default()
    };
    let status =
        |text: &str| check(text, &limits, |_| ()).map_err(|refusal| refusal.status().as_u16());
    let fits = "TWELVE23 /901234567890123456 HTTP/1.1|Host: x|A: b|C: 01234567890123456789012345||";
    assert_eq!(status(fits), Ok(Some(())));
    assert_eq!(status(&fits.replace("TWELVE", "TWELVE1")), Err(501));
    assert_eq!(status(&fits.replace("/9", "/90123")), Err(414));
    assert_eq!(status(&fits.replace("A: b", "A: b|D: e")), Err(431));
    assert_eq!(status(&fits.replace("A: b", &format!("A: {}", "b".repeat(30)))), Err(431));
    assert_eq!(status(&"x: ".repeat(40)), Err(400));
    assert_eq!(status(&format!("GET / HTTP/1.1|x: {}", "y".repeat(80))), Ok(None));
    assert_eq!(status(&format!("GET / HTTP/1.1|x: {}", "y".repeat(81))), Err(431));
}

#[test]
fn a_head_of_exactly_the_limit_passes_whole_and_in_pieces() {
    let bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (room, fits) in [(bytes.len(), true), (bytes.len() - 1, false)] {
        let limits = Limits { head_bytes: room, ..Limits::default() };
        let mut progress = Progress::default();
        let pieces = (0..=bytes.len()).try_fold(None, |_, len| {
            let mut scratch = Scratch::new();
            parse(&bytes[..len], &limits, &mut progress, &mut scratch).map(|head| head.map(|_| ()))
        });
        assert_eq!(pieces == Ok(Some(())), fits, "{pieces:?}");
        assert_eq!(check(&String::from_utf8_lossy(bytes), &limits, |_| ()) == Ok(Some(())), fits);
    }
}

#[test]
fn a_slow_head_is_not_read_again_until_its_end_has_come() {
    let mut progress = Progress::default();
    let bytes = b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nC: d\r\nE: f\r\n\r\n";
    let mut readings = 0;
    for len in 1..=bytes.len() {
        readings += usize::from(progress.worth_reading(&bytes[..len]));
        progress.searched = len;
    }
    assert_eq!(readings, 3, "after two lines, and at the end");
}

#[test]
fn letters_beyond_ascii_pass_in_a_target_if_they_are_utf_8() {
    assert_eq!(whole("GET /ä HTTP/1.1|Host: x||", |head| head.target.path.len()), 3);
    let mut scratch = Scratch::new();
    let latin = b"GET /\xe4 HTTP/1.1\r\nHost: x\r\n\r\n";
    let read = parse(latin, &Limits::default(), &mut Progress::default(), &mut scratch);
    assert_eq!(read.map(|_| ()), Err(Refusal::TargetBytes));
}

#[test]
fn the_named_fields_of_a_head_are_marked() {
    whole("GET / HTTP/1.1|Host: x|RANGE: bytes=0-|If-Range: \"a\"|X-Own: 1||", |head| {
        assert!(head.fields.present().has(Name::Range));
        assert!(head.fields.present().has(Name::IfRange));
        assert!(!head.fields.present().has(Name::Cookie));
        assert_eq!(head.fields.first("x-own"), Some(&b"1"[..]));
    });
}
