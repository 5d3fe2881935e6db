//! Settings for all: `nigh apply`, with control state in a file and one edge. Three edges and an etcd:
//! tests/foreign/cluster-apply.sh.

use std::fs;

use serde_json::Value;

use crate::support::{
    Directory, Edge, Origin, SettingsFile,
    cluster::Cluster,
    ok,
    process::{Ran, nigh},
};

/// An edge whose control state is in a file.
pub(crate) struct Fixture {
    cluster: Cluster,
    directory: Directory,
}

impl Fixture {
    /// `sites` stand in the edge's own settings.
    pub(crate) fn start(name: &str, sites: &str) -> Self {
        let directory = Directory::new(&format!("{name}-state"));
        fs::create_dir_all(&directory.0).unwrap();
        let mut cluster = Cluster::start(name, &Origin::saying(ok("no-store", "none")), 1, "");
        let control = format!("control = \"file:{}/state\"\n{sites}", directory.argument());
        cluster.rewrite(0, |text| {
            let (own, _) = text.split_once("[[site]]").unwrap();
            format!("{own}{control}")
        });
        cluster.restart(0);
        Self { cluster, directory }
    }

    pub(crate) fn edge(&self) -> &Edge {
        &self.cluster.edges[0]
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory.argument())
    }

    fn apply(&self, text: &str, more: &[&str]) -> Ran {
        let path = self.path("sites.toml");
        fs::write(&path, text).unwrap();
        let admin = self.edge().admin().to_string();
        let arguments = ["apply", &path, "--admin", &admin, "--json"];
        nigh(&[&arguments[..], more].concat())
    }

    fn status(&self) -> Value {
        self.edge().status_until(|_| true)
    }
}

fn site(host: &str, origin: &Origin) -> String {
    format!("[[site]]\nhost = \"{host}\"\norigin = \"{}\"\n", origin.url())
}

/// A rule that takes a secret to be of use.
fn signed(file: &str) -> String {
    format!("[[site.path]]\nmatch = \"/s/\"\nsigned = [{{ id = \"a\", file = \"{file}\" }}]\n")
}

fn origins() -> [Origin; 2] {
    [Origin::saying(ok("no-store", "one")), Origin::saying(ok("no-store", "two"))]
}

fn revision(ran: &Ran) -> u64 {
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(answer["done"], true, "{answer}");
    answer["revision"].as_u64().unwrap()
}

#[test]
fn an_edge_without_sites_serves_those_that_are_applied_and_has_them_after_a_restart() {
    let [one, two] = origins();
    let mut fixture = Fixture::start("apply-first", "");
    assert_ne!(fixture.edge().get("/").status(), 200);
    let first = revision(&fixture.apply(&site("*", &one), &[]));
    assert_eq!(fixture.edge().get("/").text(), "one");
    let shared = &fixture.status()["shared"];
    assert_eq!((&shared["revision"], &shared["problem"]), (&first.into(), &Value::Null));
    assert_eq!(fixture.edge().metric("nigh_settings_revision"), first);
    let second = revision(&fixture.apply(&site("*", &two), &[]));
    assert!(second > first);
    assert_eq!(fixture.edge().get("/").text(), "two");
    fixture.cluster.restart(0);
    assert_eq!(fixture.edge().get("/").text(), "two");
    assert_eq!(fixture.status()["shared"]["revision"], second);
    // A reload of the edge's own file changes nothing of that.
    fixture.edge().hang_up();
    fixture.edge().line("read again");
    assert_eq!(fixture.edge().get("/").text(), "two");
}

#[test]
fn only_the_sites_of_a_file_are_applied_and_an_edges_own_are_passed_by() {
    let [one, two] = origins();
    let mut fixture = Fixture::start("apply-own", &site("*", &one));
    assert_eq!(fixture.edge().get("/").text(), "one");
    assert_eq!(fixture.status()["shared"]["revision"], Value::Null);
    let whole = format!("[limits]\nmax_body = \"1KiB\"\n{}", site("*", &two));
    revision(&fixture.apply(&whole, &[]));
    assert_eq!(fixture.edge().get("/").text(), "two");
    let config: Value =
        serde_json::from_str(fixture.edge().ask_admin("/v1/config").text()).unwrap();
    assert_eq!(config["settings"]["limits"]["max_body"], Value::Null);
    assert_eq!(fixture.status()["shared"]["passes_by_own"], true);
    let applied = fixture.edge().ask_admin("/v1/settings");
    assert_eq!(applied.text(), site("*", &two));
    fixture.edge().hang_up();
    fixture.edge().line("this edge's own sites are passed by");
    fixture.cluster.restart(0);
    assert_eq!(fixture.edge().get("/").text(), "two");
}

#[test]
fn settings_that_the_asked_edge_cannot_use_change_nothing() {
    let [one, two] = origins();
    let fixture = Fixture::start("apply-bad", "");
    let first = revision(&fixture.apply(&site("*", &one), &[]));
    // With its place, before anybody is asked.
    let wrong = fixture.apply("[[site]]\nhost = \"*\"\n", &[]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("sites.toml:1:1: a site has an origin"), "{}", wrong.stderr);
    // What only the edge knows.
    let text = format!("{}{}", site("*", &two), signed("nowhere.key"));
    let unusable = fixture.apply(&text, &[]);
    assert_eq!(unusable.code, Some(1));
    assert!(unusable.stderr.contains("nothing is changed"), "{}", unusable.stderr);
    assert!(unusable.stderr.contains("nowhere.key"), "{}", unusable.stderr);
    let none = fixture.apply("[limits]\n[forward]\n", &[]);
    assert!(none.stderr.contains("there is no [[site]] to apply"), "{}", none.stderr);
    let long = format!("{}{}\n", site("*", &two), "#".repeat(1 << 20));
    let long = fixture.apply(&long, &[]);
    assert!(long.stderr.contains("control state takes 1048576 at most"), "{}", long.stderr);
    assert_eq!(fixture.edge().get("/").text(), "one");
    assert_eq!(fixture.status()["shared"]["revision"], first);
}

#[test]
fn of_two_who_apply_after_the_same_revision_one_is_told() {
    let [one, two] = origins();
    let fixture = Fixture::start("apply-after", "");
    let first = revision(&fixture.apply(&site("*", &one), &["--after", "0"]));
    let second = revision(&fixture.apply(&site("*", &two), &["--after", &first.to_string()]));
    for after in [0, first] {
        let late = fixture.apply(&site("*", &one), &["--after", &after.to_string()]);
        assert_eq!(late.code, Some(1));
        let said = format!("others by now, revision {second}");
        assert!(late.stderr.contains(&said), "{}", late.stderr);
    }
    assert_eq!(fixture.edge().get("/").text(), "two");
}

#[test]
fn an_edge_that_cannot_use_what_is_in_control_state_does_not_start_and_says_why() {
    let [one, _] = origins();
    let mut fixture = Fixture::start("apply-start", "");
    let secret = fixture.path("key");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    revision(&fixture.apply(&format!("{}{}", site("*", &one), signed(&secret)), &[]));
    fixture.cluster.edges.clear();
    fs::remove_file(&secret).unwrap();
    let ran = nigh(&["run", fixture.cluster.file(0)]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("of the settings in control state cannot be used"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(&secret), "{}", ran.stderr);
}

#[test]
fn an_edge_without_control_state_has_nothing_to_share() {
    let [one, _] = origins();
    let edge = Edge::start(&one, &["--admin", "127.0.0.1:0"]);
    let got = edge.ask_admin("/v1/settings");
    assert_eq!(got.status(), 409);
    assert!(got.text().contains("names no control state"), "{}", got.text());
}

#[test]
fn what_some_edges_do_not_run_ends_with_1_and_they_are_named() {
    // What an edge answers one of whose siblings stands still, and one lacks a key.
    let answer = r#"{"revision":7,"done":false,"edges":[
        {"cluster":"eu","name":"edge-1","state":"runs","millis":3,"problem":null},
        {"cluster":"eu","name":"edge-2","state":"refused","millis":4,"problem":"no key"},
        {"cluster":"us","name":"edge-1","state":"waiting","millis":null,"problem":null},
        {"cluster":"us","name":"edge-2","state":"away","millis":null,"problem":null}]}"#;
    let asked = Origin::saying(ok("no-store", answer));
    let file = SettingsFile::saying(&site("*", &asked));
    let admin = asked.url().trim_start_matches("http://").to_owned();
    let ran = nigh(&["apply", file.argument(), "--admin", &admin]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "applied: revision 7\n  eu/edge-1: runs after 3 ms\n  eu/edge-2: refused after 4 ms: no key\n\
         \x20 us/edge-1: waiting\n  us/edge-2: away\n"
    );
    assert!(ran.stderr.contains("partial: not (yet) on eu/edge-2, us/edge-1"), "{ran:?}");
}

#[test]
fn an_edge_that_nobody_lists_says_in_control_state_that_it_belongs() {
    let [one, _] = origins();
    let mut fixture = Fixture::start("apply-unlisted", &site("*", &one));
    fixture.cluster.rewrite(0, |text| {
        let keep = |line: &&str| !line.starts_with("edges = ");
        text.lines().filter(keep).map(|line| format!("{line}\n")).collect()
    });
    for _ in 0..2 {
        fixture.cluster.restart(0);
        assert_eq!(fixture.edge().get("/").text(), "one");
        let config = fixture.edge().ask_admin("/v1/config");
        let config: Value = serde_json::from_str(config.text()).unwrap();
        let edges = &config["settings"]["cluster"]["eu"]["edges"];
        assert_eq!(*edges, serde_json::json!([format!("eu-1={}", fixture.cluster.addresses[0])]));
        revision(&fixture.apply(&site("*", &one), &[]));
    }
}

#[test]
fn a_new_process_takes_control_state_over_and_goes_on_with_its_settings() {
    let [one, two] = origins();
    let mut fixture = Fixture::start("apply-replaced", "");
    revision(&fixture.apply(&site("*", &one), &[]));
    fixture.cluster.edges[0].process.replace();
    assert_eq!(fixture.edge().get("/").text(), "one");
    fixture.edge().metric_until("nigh_settings_revision", |revision| revision > 0);
    revision(&fixture.apply(&site("*", &two), &[]));
    assert_eq!(fixture.edge().get("/").text(), "two");
}
