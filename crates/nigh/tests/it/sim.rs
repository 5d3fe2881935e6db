//! `nigh sim` from outside: what it prints, writes and ends with.

use std::fs;

use crate::support::process::{Ran, nigh};

#[track_caller]
fn json(ran: &Ran) -> serde_json::Value {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn the_list_names_experiments_and_their_papers() {
    let ran = nigh(&["sim", "list"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("chord-load"), "{}", ran.stdout);
    assert!(ran.stdout.contains("SIGCOMM 2001"), "{}", ran.stdout);
    let ran = nigh(&["sim", "list", "--json"]);
    let first: serde_json::Value =
        serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["name"], "chord-load");
}

#[test]
fn an_experiment_tells_scripts_its_claims_and_is_silent_otherwise() {
    let ran = nigh(&["sim", "chord-load", "--nodes", "500", "--json"]);
    let report = json(&ran);
    assert_eq!((&report["name"], &report["nodes"]), (&"chord-load".into(), &500.into()));
    let claims = report["claims"].as_array().unwrap();
    assert!(claims.iter().any(|claim| claim["published"] == 9.1), "{claims:?}");
    assert!(
        claims.iter().all(|claim| claim["verdict"] == "matches" || claim["because"].is_string())
    );
    assert_eq!(ran.stderr, "", "nobody watches, so there is no progress");
}

#[test]
fn the_same_seed_says_the_same() {
    let run = |seed| nigh(&["sim", "chord-load", "--nodes", "100", "--seed", seed]).stdout;
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

#[test]
fn one_experiment_writes_its_files_where_it_is_told() {
    let folder = std::env::temp_dir().join(format!("nigh-figure-{}", std::process::id()));
    let out = folder.to_str().unwrap();
    let ran = nigh(&["sim", "chord-load", "--nodes", "100", "--out", out]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("figure 8(b)"), "{}", ran.stdout);
    let picture = fs::read_to_string(folder.join("chord-load.svg")).unwrap();
    assert!(picture.starts_with("<svg"), "{picture}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn wrong_use_ends_with_2_and_says_what_there_is() {
    for (arguments, words) in [
        (&["sim"][..], "<list|all|NAME>"),
        (&["sim", "chord-loads"], "the nearest is `chord-load`"),
        (&["sim", "chord-loads"], "`nigh sim list`"),
        (&["sim", "chord-load", "--nodes", "7"], "7 nodes are outside of 100 to 1000000"),
        (&["sim", "chord-load", "--seed", "x"], "--seed"),
        (&["sim", "list", "--out", "x"], "leave out --nodes and --out"),
    ] {
        let ran = nigh(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {words:?} is not in {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
}
