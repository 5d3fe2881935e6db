//! `nigh dht`, on nodes of a DHT that speak over loopback.

use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt as _, thread, time::Instant};

use serde_json::Value;

use crate::support::{
    Directory, PATIENCE,
    node::Node,
    process::{Ran, nigh, nigh_reading},
};

/// The name of a swarm.
const SWARM: &str = "2aae6c35c94fcfb415dbe95f408b9ce91ee846ed";
/// Of the item `hello`: SHA-1 of `5:hello`.
const HELLO: &str = "e28910ea0adb94dd45ced75fbff3e135c01bc437";

/// Three nodes, each of which names all three.
#[track_caller]
fn three() -> [Node; 3] {
    let flags = ["--overlay", "kademlia"];
    let first = Node::start(&flags);
    let second = first.joined_by(&flags);
    let third = second.joined_by(&flags);
    let nodes = [first, second, third];
    let deadline = Instant::now() + PATIENCE;
    for node in &nodes {
        let locate = ["locate", "a", "--overlay", "kademlia", "--json", "--via", &node.address];
        while json(&nigh(&locate))["holders"].as_array().unwrap().len() < nodes.len() {
            assert!(Instant::now() < deadline, "{node:?} does not know the others");
        }
    }
    nodes
}

#[track_caller]
fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// What `nigh dht` says of these words.
#[track_caller]
fn dht(node: &Node, words: &[&str]) -> Ran {
    nigh(&[&["dht"], words, &["--via", &node.address]].concat())
}

#[test]
fn peers_that_are_announced_through_one_node_are_found_through_another() {
    let [first, second, third] = three();
    let ran = dht(&second, &["peers", SWARM]);
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{ran:?}");
    for words in [SWARM, "nobody has announced", "--announce PORT"] {
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
    let ran = dht(&first, &["peers", SWARM, "--announce", "7001", "--seed"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "announced to 3 nodes\n"), "{ran:?}");
    let told = json(&dht(&second, &["peers", SWARM, "--announce", "7002", "--json"]));
    assert_eq!(told["peers"], serde_json::json!(["127.0.0.1:7001"]));
    assert_eq!((&told["announced"], &told["seeds"]), (&3.into(), &Value::Null));

    let ran = dht(&third, &["peers", SWARM]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "127.0.0.1:7001\n127.0.0.1:7002\n"), "{ran:?}");
    let ran = dht(&third, &["peers", SWARM, "--scrape"]);
    assert!(ran.stdout.contains("about 1 seeds and 1 other peers"), "{ran:?}");
    let told = json(&dht(&third, &["peers", SWARM, "--scrape", "--json"]));
    assert_eq!((&told["info_hash"], &told["announced"]), (&SWARM.into(), &Value::Null));
    for count in ["seeds", "others"] {
        assert!((0.5..1.5).contains(&told[count].as_f64().unwrap()), "{told}");
    }
    // So nodes know of that swarm, wherever it is asked.
    for near in [&[][..], &[HELLO]] {
        let ran = dht(&first, &[&["sample"], near].concat());
        assert_eq!((ran.code, ran.stdout), (Some(0), format!("{SWARM}\n")), "{}", ran.stderr);
    }
    let told = json(&dht(&second, &["sample", HELLO, "--json"]));
    assert_eq!((&told["near"], &told["info_hashes"][0]), (&HELLO.into(), &SWARM.into()));
}

#[test]
fn an_item_has_the_name_of_its_value_and_is_had_from_any_node() {
    let [first, second, third] = three();
    let ran = dht(&first, &["get", HELLO]);
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains(&format!("nothing is held under {HELLO}")), "{}", ran.stderr);
    let ran = dht(&first, &["put", "hello"]);
    let words = format!("name      {HELLO}\nheld      by 3 nodes, for 2h\n");
    assert_eq!((ran.code, ran.stdout), (Some(0), words), "{}", ran.stderr);
    for via in [&second, &third] {
        let ran = dht(via, &["get", HELLO]);
        assert_eq!((ran.code, &*ran.stdout), (Some(0), "hello"), "{ran:?}");
    }
    assert_eq!(dht(&third, &["get", HELLO, "--bencoded"]).stdout, "5:hello");
    let told = json(&dht(&second, &["get", HELLO, "--json"]));
    assert_eq!((&told["name"], &told["value_text"]), (&HELLO.into(), &"hello".into()));
    assert_eq!((&told["bencoded_hex"], &told["key"]), (&"353a68656c6c6f".into(), &Value::Null));

    // What is no string is shown as it is held.
    let put = json(&dht(&first, &["put", "d3:agei7ee", "--bencoded", "--json"]));
    assert_eq!((&put["copies"], &put["bencoded_bytes"]), (&3.into(), &10.into()));
    let ran = dht(&second, &["get", put["name"].as_str().unwrap()]);
    assert_eq!(ran.stdout, "d3:agei7ee", "{ran:?}");
    // The longest text, from standard input.
    let long = "x".repeat(996);
    let via = ["--json", "--via", &third.address];
    let put = json(&nigh_reading(long.as_bytes(), &[&["dht", "put", "-"][..], &via].concat()));
    assert_eq!(dht(&first, &["get", put["name"].as_str().unwrap()]).stdout, long);
}

#[test]
fn who_has_the_secret_puts_the_next_version_of_an_item() {
    let [first, second, third] = three();
    let directory = Directory::new("dht-secret");
    fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join("me.key");
    let secret = ["--secret", path.to_str().unwrap()];
    let put = |node, words: &[&str]| dht(node, &[&["put"], words, &secret].concat());

    let one = json(&put(&first, &["one", "--json"]));
    assert_eq!((&one["number"], &one["copies"]), (&1.into(), &3.into()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let digits = fs::read_to_string(&path).unwrap();
    assert_eq!(digits.trim().len(), 64, "{digits}");
    let (name, key) = (one["name"].as_str().unwrap(), one["key"].as_str().unwrap());
    let ran = put(&second, &["two"]);
    let words = format!("name      {name}\nkey       {key}\nnumber    2\n");
    assert!(ran.stdout.starts_with(&words), "{ran:?}");
    for sought in [name, key] {
        assert_eq!(dht(&third, &["get", sought]).stdout, "two");
    }
    assert_eq!(json(&dht(&first, &["get", key, "--json"]))["number"], 2);

    // An older version is not taken, nor one that is to follow another.
    for (words, because) in [
        (&["three", "--number", "1"][..], "has a higher number"),
        (&["three", "--cas", "1"], "another number than --cas says"),
    ] {
        let ran = put(&first, words);
        assert_eq!((ran.code, &*ran.stdout), (Some(1), ""), "{ran:?}");
        assert!(ran.stderr.contains(because), "{because:?} is not in {}", ran.stderr);
    }
    assert_eq!(put(&first, &["three", "--cas", "2", "--number", "9"]).code, Some(0));
    assert_eq!(json(&dht(&second, &["get", key, "--json"]))["number"], 9);

    // With a salt it is another item.
    assert_eq!(put(&first, &["four", "--salt", "other"]).code, Some(0));
    assert_eq!(dht(&third, &["get", key]).stdout, "three");
    assert_eq!(dht(&third, &["get", key, "--salt", "other"]).stdout, "four");
    // What is no secret is not written over.
    fs::write(&path, "password\n").unwrap();
    let ran = put(&first, &["five"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("64 hexadecimal digits are expected"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "password\n");
}

#[test]
fn who_does_not_answer_is_given_up_and_the_next_step_is_named() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let via = silent.local_addr().unwrap().to_string();
    let directory = Directory::new("dht-silent");
    fs::create_dir_all(&directory.0).unwrap();
    let secret = directory.0.join("me.key");
    let asked: [&[&str]; 6] = [
        &["peers", SWARM],
        &["peers", SWARM, "--announce", "7001", "--scrape"],
        &["get", HELLO],
        &["put", "hello"],
        &["put", "hello", "--secret", secret.to_str().unwrap()],
        &["sample"],
    ];
    let given_up = |words: &[&str]| {
        let begun = nigh(&[&["dht"], words, &["--via", &via, "--timeout", "300ms"]].concat());
        assert_eq!((begun.code, &*begun.stdout), (Some(1), ""), "{begun:?}");
        for said in [&*via, "`nigh node --overlay kademlia` starts one", "no answer came within"] {
            assert!(begun.stderr.contains(said), "{said:?} is not in {}", begun.stderr);
        }
        // With time enough it knows that nobody is there.
        let ended = nigh(&[&["dht"], words, &["--via", &via, "--timeout", "20s"]].concat());
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
        assert!(ended.stderr.contains("nobody on the way answers"), "{ended:?}");
    };
    // Each waits for some seconds.
    thread::scope(|scope| {
        for words in asked {
            scope.spawn(move || given_up(words));
        }
    });
}

#[test]
fn wrong_use_is_explained_before_anything_is_sent() {
    let (salt, long) = ("s".repeat(65), "x".repeat(997));
    for (words, said) in [
        (&["peers"][..], "<INFO_HASH>"),
        (&["peers", "song.mp3"], "40 hexadecimal digits"),
        (&["peers", SWARM, "--seed"], "--announce <PORT>"),
        (&["peers", SWARM, "--announce", "0"], "zero"),
        (&["peers", SWARM, "--via", "localhost"], "such as 192.0.2.7:4000"),
        (&["get", "hello"], "40 hexadecimal digits, and a public key 64"),
        (&["get", HELLO, "--salt", &salt], "at most 64 bytes"),
        (&["put", "a", "--salt", "b"], "--secret <FILE>"),
        (&["put", "a", "--number", "1"], "--secret <FILE>"),
        (&["put", "a", "--secret", "b", "--number=-1"], "0.."),
        (&["put", &long], "at most 1000 bytes, bencoded"),
        (&["put", "hello", "--bencoded"], "is not bencoded"),
        (&["put", "d1:bi1e1:ai2ee", "--bencoded"], "keys are in order"),
        (&["sample", "here"], "40 hexadecimal digits"),
        (&[], "Usage: nigh dht <COMMAND>"),
    ] {
        let ran = nigh(&[&["dht"], words].concat());
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(ran.stderr.contains(said), "{words:?}: {said:?} is not in {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    let ran = nigh(&["dht", "put", &long]);
    assert!(ran.stderr.contains("Usage: nigh dht put"), "{}", ran.stderr);
}

#[test]
fn help_teaches_by_examples() {
    for (words, said) in [
        (&["dht"][..], "nigh node --overlay kademlia"),
        (&["dht", "peers"], "--announce 6881 --seed"),
        (&["dht", "get"], "--salt foobar"),
        (&["dht", "put"], "me.key is made if it is not there"),
        (&["dht", "sample"], "nigh dht sample --via 192.0.2.7:6881"),
    ] {
        let ran = nigh(&[words, &["--help"]].concat());
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains("Examples:"), "{}", ran.stdout);
        assert!(ran.stdout.contains(said), "{said:?} is not in {}", ran.stdout);
    }
}
