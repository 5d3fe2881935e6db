//! `nigh node`, and `nigh locate`, `put` and `fetch` on it: processes that speak over loopback.

use std::{fs, net::UdpSocket, path::PathBuf, process::Command, time::Instant};

use serde_json::Value;

use crate::support::{
    PATIENCE,
    node::{Node, settled},
    process::{NIGH, Ran, nigh, nigh_reading},
};

#[track_caller]
fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// A ring of three.
#[track_caller]
fn three() -> [Node; 3] {
    let first = Node::start(&[]);
    let second = first.joined_by(&[]);
    let third = second.joined_by(&[]);
    settled(&[&first, &second, &third]);
    [first, second, third]
}

/// An address at which somebody is, and never answers.
fn silence() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    (socket, address)
}

/// A file that is not there yet.
fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("nigh-node-{}-{name}", std::process::id()));
    drop(fs::remove_file(&path));
    path
}

#[test]
fn a_value_that_one_node_was_given_is_had_from_any() {
    let nodes = three();
    let [first, second, third] = nodes.each_ref().map(|node| &*node.address);
    let put = json(&nigh(&["put", "greeting", "hello\n", "--via", first, "--json"]));
    assert_eq!((&put["copies"], &put["bytes"]), (&3.into(), &6.into()));
    for via in [second, third] {
        let ran = nigh(&["fetch", "greeting", "--via", via]);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "hello\n"), "{ran:?}");
    }
    let fetched = json(&nigh(&["fetch", "greeting", "--via", third, "--json"]));
    assert_eq!(
        (&fetched["value_text"], &fetched["value_hex"]),
        (&"hello\n".into(), &"68656c6c6f0a".into())
    );
    // Another value takes its place, here from standard input, and goes into a file.
    let bytes: Vec<u8> = (0..=255).collect();
    let ran = nigh_reading(&bytes, &["put", "greeting", "-", "--for", "90s", "--via", second]);
    assert!(ran.stdout.contains("held      256 bytes, by 3 nodes, for 90s"), "{ran:?}");
    let path = file("value");
    let ran = nigh(&["fetch", "greeting", "--via", first, "-o", path.to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), ""), "{ran:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    fs::remove_file(path).unwrap();
}

#[test]
fn what_was_never_put_is_not_fetched() {
    let node = Node::start(&[]);
    let ran = nigh(&["fetch", "greeting", "--via", &node.address]);
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("nothing is held under a0f7e779"), "{}", ran.stderr);
    let ran = nigh(&["fetch", "greeting", "--via", &node.address, "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&answer["bytes"], &answer["value_hex"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_trace_leads_from_the_node_that_was_named_to_the_holder() {
    let nodes = three();
    for (via, node) in nodes.iter().enumerate() {
        let address = &node.address;
        let answer = json(&nigh(&["locate", "greeting", "--via", address, "--trace", "--json"]));
        assert_eq!(answer["text"], "greeting");
        let route = answer["route"].as_array().unwrap();
        let (first, last) = (&route[0], &route[route.len() - 1]);
        let holder = &answer["holders"][0];
        assert_eq!(first["address"], **address);
        assert_eq!((&last["address"], &last["key"]), (&holder["address"], &holder["key"]));
        assert_eq!(answer["hops"], route.len());
        assert_eq!(answer["unanswered"], 0);
        assert!(first["milliseconds"].as_f64().unwrap() > 0.0, "{answer}");
        assert!(first["why"].as_str().unwrap().starts_with("you named it"), "{answer}");
        assert!(last["why"].as_str().unwrap().contains("the key's successor"), "{answer}");
        // In words it is the same way.
        let ran = nigh(&["locate", "greeting", "--via", address, "--trace"]);
        assert!(ran.stdout.contains(", SHA-1 of \"greeting\""), "{via}: {}", ran.stdout);
        assert!(ran.stdout.contains("hop  address"), "{via}: {}", ran.stdout);
        assert!(ran.stdout.contains("you named it"), "{via}: {}", ran.stdout);
    }
}

#[test]
fn a_key_is_taken_as_it_is_and_a_text_is_hashed() {
    let node = Node::start(&[]);
    let located = |arguments: &[&str]| {
        json(&nigh(&[&["locate", "--json", "--via", &node.address], arguments].concat()))
    };
    let digits = "a9993e364706816aba3e25717850c26c9cd0d89d";
    assert_eq!(located(&["abc"])["key"], digits);
    assert_eq!(located(&[digits])["key"], digits);
    assert_eq!(located(&[digits])["text"], Value::Null);
    assert_eq!(located(&[digits, "--text"])["text"], digits);
}

#[test]
fn a_node_leaves_in_order_and_what_it_held_stays() {
    let [first, second, third] = three();
    for (key, value) in [("a", "one"), ("b", "two"), ("c", "three"), ("d", "four")] {
        assert_eq!(nigh(&["put", key, value, "--via", &first.address]).code, Some(0));
    }
    assert_eq!(third.end().code(), Some(0));
    settled(&[&first, &second]);
    for (key, value) in [("a", "one"), ("b", "two"), ("c", "three"), ("d", "four")] {
        let ran = nigh(&["fetch", key, "--via", &second.address]);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), value), "{ran:?}");
    }
    assert_eq!(first.end().code(), Some(0));
    assert_eq!(second.end().code(), Some(0));
}

#[test]
fn a_host_has_several_places_and_questions_may_be_passed_on() {
    let flags = ["--places", "4", "--routing", "recursive", "--proximity", "2"];
    let first = Node::start(&flags);
    let second = first.joined_by(&flags);
    assert_eq!((first.keys.len(), second.keys.len()), (4, 4));
    settled(&[&first, &second]);
    assert_eq!(nigh(&["put", "greeting", "hello", "--via", &first.address]).code, Some(0));
    let ran = nigh(&["fetch", "greeting", "--via", &second.address]);
    assert_eq!(ran.stdout, "hello", "{ran:?}");
}

#[test]
fn a_node_says_in_words_what_happens_to_it() {
    let key = "0f".repeat(20);
    let mut child = Command::new(NIGH)
        .args(["node", "--listen", "127.0.0.1:0", "--id", &key])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(stdout).map(Result::unwrap);
    let line = lines.next().unwrap();
    let address = line.strip_prefix("listening on ").and_then(|it| it.strip_suffix(&key));
    let address =
        address.and_then(|it| it.strip_suffix(" as ")).unwrap_or_else(|| panic!("{line}"));
    assert!(address.parse::<std::net::SocketAddr>().is_ok(), "{line}");
    assert_eq!(lines.next().as_deref(), Some("joined"));
    // Ctrl-C is as good as SIGTERM.
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(lines.next().as_deref(), Some("left"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_recorded_node_does_the_same_again() {
    let first = Node::start(&[]);
    let path = file("recording");
    let recording = path.to_str().unwrap();
    let node = first.joined_by(&["--record", recording]);
    settled(&[&first, &node]);
    assert_eq!(nigh(&["put", "greeting", "hello", "--via", &node.address]).code, Some(0));
    let address = node.address.clone();
    assert_eq!(node.end().code(), Some(0));

    let replay = |flags: &[&str]| {
        nigh(&[&["node", "--listen", &address, "--replay", recording][..], flags].concat())
    };
    let replayed = json(&replay(&["--upkeep", "200ms", "--json"]));
    assert_eq!(replayed["agrees"], true, "{replayed}");
    assert_eq!(replayed["digest"], replayed["recorded_digest"]);
    assert!(replayed["inputs"].as_u64().unwrap() > 5, "{replayed}");
    let ran = replay(&["--upkeep", "200ms"]);
    assert!(ran.stdout.contains("agrees    yes"), "{ran:?}");

    // With other flags it is another node.
    let ran = replay(&["--upkeep", "300ms"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("needs the flags of the recorded node"), "{}", ran.stderr);
    // A recording is not written over.
    let ran = nigh(&["node", "--listen", "127.0.0.1:0", "--record", recording]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(&format!("cannot record to {recording}")), "{}", ran.stderr);
    // What is left of one without its end is told from one that agrees.
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 22]).unwrap();
    let ran = replay(&["--upkeep", "200ms"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("the recording has no end"), "{}", ran.stdout);
    assert!(ran.stdout.contains("as far as it goes"), "{}", ran.stdout);
    assert!(ran.stderr.contains("the node was not stopped in order"), "{}", ran.stderr);
    // Nor is one that is cut off in a record useless.
    fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    let ran = replay(&["--upkeep", "200ms"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let cut = format!("cut off in the record at byte {}", bytes.len() - 22);
    assert!(ran.stdout.contains("as far as it goes"), "{}", ran.stdout);
    assert!(ran.stderr.contains(&cut), "{}", ran.stderr);
    fs::remove_file(path).unwrap();
}

/// Three nodes of an overlay in which a key has one owner: a value goes from one to all, the way to it is
/// told in the overlay's words, and one of them leaves in order and can be replayed.
#[track_caller]
fn holds_and_finds(overlay: &str, flags: &[&str], owner: &str) {
    let overlay = ["--overlay", overlay];
    let flags = [&overlay[..], flags].concat();
    let asks = |words: &[&str]| nigh(&[words, &overlay].concat());
    let path = file(overlay[1]);
    let recording = path.to_str().unwrap();
    let first = Node::start(&flags);
    let second = first.joined_by(&flags);
    let third = second.joined_by(&[&flags[..], &["--record", recording]].concat());
    let deadline = Instant::now() + PATIENCE;
    let put = ["put", "greeting", "hello", "--via", &first.address, "--json"];
    // Once they know each other.
    while json(&asks(&put))["copies"] != 3 {
        assert!(Instant::now() < deadline, "it is not held by all three");
    }
    for via in [&first, &second, &third] {
        let ran = asks(&["fetch", "greeting", "--via", &via.address]);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "hello"), "{ran:?}");
        let located =
            json(&asks(&["locate", "greeting", "--via", &via.address, "--trace", "--json"]));
        let route = located["route"].as_array().unwrap();
        let (begin, end) = (&route[0], &route[route.len() - 1]);
        assert_eq!(begin["address"], *via.address, "{located}");
        assert_eq!(end["key"], located["holders"][0]["key"], "{located}");
        assert!(end["why"].as_str().unwrap().contains(owner), "{located}");
    }
    let address = third.address.clone();
    assert_eq!(third.end().code(), Some(0));
    let ran = asks(&["fetch", "greeting", "--via", &second.address]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "hello"), "{ran:?}");
    let node = ["node", "--listen", &address, "--upkeep", "200ms", "--replay", recording, "--json"];
    assert_eq!(json(&nigh(&[&node[..], &flags].concat()))["agrees"], true);
    fs::remove_file(path).unwrap();
}

#[test]
fn pastry_holds_and_finds() {
    holds_and_finds("pastry", &["--leaves", "8", "--digit-bits", "2"], "the nearest to the key");
}

#[test]
fn tapestry_holds_and_finds() {
    holds_and_finds("tapestry", &["--digit-bits", "2"], "the key's root");
}

#[test]
fn can_holds_and_finds() {
    let flags = ["--dimensions", "2", "--realities", "2"];
    holds_and_finds("can", &flags, "the one whose zone has the key");
}

#[test]
fn koorde_holds_and_finds() {
    let flags = ["--degree-bits", "1", "--routing", "iterative"];
    holds_and_finds("koorde", &flags, "the key's successor");
}

#[test]
fn viceroy_holds_and_finds() {
    holds_and_finds("viceroy", &["--routing", "iterative"], "the key's successor");
}

#[test]
fn a_node_is_asked_at_another_address_than_it_advertises() {
    for overlay in ["pastry", "tapestry", "can", "koorde", "viceroy"] {
        let overlay = ["--overlay", overlay];
        // Nobody is there: this node is reached where it listens.
        let node = Node::start(&[&overlay[..], &["--advertise", "127.0.0.2:9"]].concat());
        let locate = ["locate", "greeting", "--via", &node.address, "--json"];
        let located = json(&nigh(&[&locate[..], &overlay].concat()));
        assert_eq!(located["holders"][0]["key"], *node.keys[0], "{located}");
        assert_eq!(located["holders"][0]["address"], *node.address, "{located}");
        node.joined_by(&overlay);
    }
}

#[test]
fn who_does_not_answer_is_given_up_and_the_next_step_is_named() {
    let (_held, silent) = silence();
    let asked = ["--via", &*silent, "--timeout", "300ms"];
    for (arguments, words) in [
        (&["locate", "greeting"][..], "cannot locate a0f7e779f9247566c84036f07f7bdf4a40a869bd"),
        (&["put", "greeting", "hello"], "cannot put a0f7e779f9247566c84036f07f7bdf4a40a869bd"),
        (&["fetch", "greeting"], "cannot fetch a0f7e779f9247566c84036f07f7bdf4a40a869bd"),
    ] {
        let ran = nigh(&[arguments, &asked].concat());
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{ran:?}");
        for words in [words, &silent, "`nigh node` starts one", "no answer came within 300ms"] {
            assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
        }
    }
    let node = ["node", "--listen", "127.0.0.1:0", "--join", &*silent, "--join-timeout", "300ms"];
    let ran = nigh(&node);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let next = format!("is a node there? ask it: `nigh locate anything --via {silent}`");
    for words in ["cannot join through", &next, "nobody let this node in within 300ms"] {
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
}

#[test]
fn one_way_in_that_answers_is_enough() {
    let (_held, silent) = silence();
    let node = Node::start(&[]);
    let ran = nigh(&["locate", "greeting", "--trace", "--via", &silent, "--via", &node.address]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("way       1 node and 1 question without"), "{}", ran.stdout);
    assert!(ran.stdout.contains("no answer  you named it"), "{}", ran.stdout);
    assert!(ran.stdout.contains("you named it too, and hop 1 did not answer"), "{}", ran.stdout);
}

#[test]
fn two_nodes_have_no_key_and_no_port_in_common() {
    let node = Node::start(&[]);
    let other = ["node", "--listen", "127.0.0.1:0", "--join", &node.address];
    let ran = nigh(&[&other[..], &["--id", &node.keys[0]]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for words in ["choose another with --id", "another node has this node's key"] {
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
    let ran = nigh(&["node", "--listen", &node.address]);
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains(&format!("cannot listen on {}", node.address)), "{}", ran.stderr);
    assert!(ran.stderr.contains("in use"), "{}", ran.stderr);
}

#[test]
fn wrong_use_is_explained_before_anything_is_sent() {
    let long = "x".repeat(1025);
    let many: Vec<String> = (1..=17).map(|port| format!("--via=192.0.2.7:{port}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (arguments, words) in [
        (&["node", "--listen", "0.0.0.0:4000"][..], "--advertise ADDR:PORT"),
        (&["node", "--listen", "[::]:4000"], "--advertise ADDR:PORT"),
        (&["node", "--listen", "here"], "such as 127.0.0.1:4000"),
        (&["node", "--join", "0.0.0.0:4000"], "no address of one machine"),
        (&["node", "--join", "127.0.0.1:0"], "nobody is reached on port 0"),
        (&["node", "--join", "127.0.0.1:4000"], "cannot join through itself"),
        (&["node", "--overlay", "circle"], "chord"),
        (&["node", "--id", "4000"], "40 hexadecimal digits"),
        (&["node", "--id", &"00".repeat(20), "--places", "2"], "cannot be used with"),
        (&["node", "--places", "65"], "1..=64"),
        (&["node", "--successors", "2", "--copies", "4"], "--successors 3 at least"),
        (&["node", "--successors", "2", "--proximity", "3"], "3 candidates"),
        (&["node", "--overlay", "pastry", "--leaves", "4", "--copies", "4"], "--leaves 6 at least"),
        (&["node", "--overlay", "pastry", "--leaves", "5"], "even"),
        (&["node", "--overlay", "tapestry", "--copies", "9"], "8 copies at most"),
        (&["node", "--overlay", "can", "--places", "2"], "only in Chord"),
        (&["node", "--overlay", "can", "--realities", "5"], "1..=4"),
        (&["node", "--overlay", "koorde", "--degree-bits", "5"], "1..=4"),
        (&["node", "--upkeep", "1ms"], "upkeep goes every 10ms to 1h"),
        (&["node", "--record", "a", "--replay", "b"], "cannot be used with"),
        (&["node", "--listen", "127.0.0.1:0", "--replay", "b"], "had got a port"),
        (&["locate"], "<KEY>"),
        (&["locate", "a", "--timeout", "0s"], "some time is needed"),
        (&[&["locate", "a"], &many[..]].concat(), "16 are tried"),
        (&["put", "a", &long], "at most 1024 bytes"),
        (&["put", "a", "b", "--for", "8d"], "at most 7d"),
        (&["put", "a", "b", "--for", "soon"], "no unit of time"),
        (&["fetch", "a", "--via", "localhost"], "such as 192.0.2.7:4000"),
    ] {
        let ran = nigh(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {words:?} is not in {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    let ran = nigh_reading(long.as_bytes(), &["put", "a"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("at most 1024 bytes"), "{}", ran.stderr);
}

#[test]
fn help_teaches_by_examples() {
    for (verb, words) in [
        ("node", "--join 127.0.0.1:4000"),
        ("node", "it holds the node's secrets"),
        ("locate", "nigh locate greeting --trace"),
        ("put", "nigh put greeting hello"),
        ("fetch", "-o greeting.txt"),
    ] {
        let ran = nigh(&[verb, "--help"]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains("Examples:"), "{}", ran.stdout);
        let flat = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{words:?} is not in {}", ran.stdout);
    }
}
