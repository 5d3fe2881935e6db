//! The command line from outside: exit codes, and messages that help. 0 done, 1 failed, 2 used wrongly.

use std::net::TcpListener;

use crate::support::process::nigh;

#[test]
fn wrong_use_is_explained_and_ends_with_2() {
    let to = ["edge", "--to", "http://127.0.0.1:1"];
    for (arguments, words) in [
        (&[][..], "Usage: nigh"),
        (&["edg"], "unrecognized subcommand"),
        (&["edge"], "--to <URL>"),
        (&["edge", "--to", "origin.example"], "write http:// or https://"),
        (&["edge", "--to", "ftp://origin.example"], "write http:// or https://"),
        (&["edge", "--to", "http://origin.example/path"], "requests bring their own paths"),
        (&["edge", "--to", "http://"], "write http://"),
        (&[&to[..], &["--listen", "localhost"]].concat(), "such as 127.0.0.1:8080"),
        (&[&to[..], &["--listen", "ftp://127.0.0.1:1"]].concat(), "neither http nor https"),
        (&[&to[..], &["--memory", "many"]].concat(), "--memory"),
        (&[&to[..], &["--head-time", "5w"]].concat(), "use ms, s, m, h or d"),
        (&[&to[..], &["--workers", "0"]].concat(), "--workers"),
        (&[&to[..], &["--log-format", "xml"]].concat(), "combined or json"),
        (&[&to[..], &["--eviction", "random"]].concat(), "--eviction"),
        (&[&to[..], &["--tls-cert", "a.pem"]].concat(), "--tls-key"),
        (&[&to[..], &["--what"]].concat(), "unexpected argument"),
    ] {
        let ran = nigh(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {words:?} is not in {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
}

#[test]
fn a_port_in_use_fails_at_the_start_and_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let to = ["edge", "--to", "http://127.0.0.1:1"];
    let ran = nigh(&[&to[..], &["--listen", &address]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&format!("nigh: cannot listen on {address}")), "{}", ran.stderr);
    assert!(ran.stderr.contains("in use"), "{}", ran.stderr);
    let ran = nigh(&[&to[..], &["--listen", "127.0.0.1:0", "--admin", &address]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&format!("admin address {address}")), "{}", ran.stderr);
}

#[test]
fn files_that_cannot_be_used_fail_at_the_start_and_are_named() {
    let to = ["edge", "--to", "http://127.0.0.1:1", "--listen", "https://127.0.0.1:0"];
    for (flags, words) in [
        (&["--tls-cert", "/nowhere/a.pem", "--tls-key", "/nowhere/a.key"][..], "/nowhere/a.pem"),
        (&["--access-log", "/nowhere/log"], "cannot write the access log /nowhere/log"),
    ] {
        let ran = nigh(&[&to[..], flags].concat());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
    let to = ["edge", "--to", "https://127.0.0.1:1", "--listen", "127.0.0.1:0"];
    let ran = nigh(&[&to[..], &["--origin-ca", "/nowhere/ca.pem"]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("/nowhere/ca.pem"), "{}", ran.stderr);
}

#[test]
fn two_edges_cannot_share_a_port() {
    let first = crate::support::Edge::to("http://127.0.0.1:1", &[]);
    let address = first.addresses[0].to_string();
    let ran = nigh(&["edge", "--to", "http://127.0.0.1:1", "--listen", &address]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("cannot listen on"), "{}", ran.stderr);
}

#[test]
fn help_and_version_end_with_0() {
    for (arguments, words) in
        [(&["--help"][..], "demo"), (&["edge", "--help"], "Examples:"), (&["--version"], "nigh ")]
    {
        let ran = nigh(arguments);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    }
}
