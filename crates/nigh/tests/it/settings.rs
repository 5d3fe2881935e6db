//! Settings files from outside: `nigh check`, `nigh run`, and SIGHUP.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::support::{Edge, Origin, SettingsFile, Wire, h2, ok, process::nigh};

const WRONG: &str = "\
[cache]
max_objects = \"1GiB\"
[[site]]
host = \"www.example.com\"
origin = \"ftp://origin.example.com\"
";

fn before(origin: &Origin, host: &str) -> String {
    let url = origin.url();
    SettingsFile::listening(&format!("[[site]]\nhost = \"{host}\"\norigin = \"{url}\"\n"))
}

#[test]
fn a_file_in_order_is_said_to_be() {
    let file = SettingsFile::with("[[site]]\nhost = \"*\"\norigin = \"http://origin.example\"\n");
    let ran = nigh(&["check", file.argument()]);
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("{} is in order\n", file.argument())));
    let ran = nigh(&["check", file.argument(), "--json"]);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &said["ok"]), (Some(0), &true.into()));
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_end_is_1() {
    let file = SettingsFile::saying(WRONG);
    for verb in ["check", "run"] {
        let ran = nigh(&[verb, file.argument()]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
        let path = file.argument();
        for line in [
            format!("nigh: {path} has 2 mistakes:"),
            format!(
                "{path}:2:1: there is no `max_objects` in [cache]; the nearest is `max_object`"
            ),
            format!("{path}:5:10: `ftp://origin.example.com` has no scheme that an origin speaks"),
        ] {
            assert!(ran.stderr.contains(&line), "{line:?} is not in {}", ran.stderr);
        }
    }
}

#[test]
fn scripts_get_mistakes_as_json() {
    let file = SettingsFile::saying(WRONG);
    let ran = nigh(&["check", "--json", file.argument()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["ok"], &said["file"]), (&false.into(), &file.argument().into()));
    let second = &said["mistakes"][1];
    assert_eq!((&second["line"], &second["column"]), (&5.into(), &10.into()));
    assert!(second["message"].as_str().unwrap().contains("write http:// or https://"));
}

#[test]
fn a_file_that_is_not_there_ends_with_1_and_wrong_use_with_2() {
    let ran = nigh(&["check", "/nowhere/nigh.toml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("cannot read /nowhere/nigh.toml"), "{}", ran.stderr);
    assert_eq!(nigh(&["check", "--what"]).code, Some(2));
}

#[test]
fn a_key_in_the_environment_is_used_and_one_that_is_missing_is_named() {
    let origin = Origin::saying(ok("no-store", "x"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = SettingsFile::saying(&made.cert.pem());
    let file = SettingsFile::saying(&format!(
        "[node]\nlisten = \"https://127.0.0.1:0\"\n[tls]\ncert = \"{}\"\n\
         key = {{ env = \"NIGH_IT_KEY\" }}\n[[site]]\nhost = \"*\"\norigin = \"{}\"\n",
        certificate.argument(),
        origin.url()
    ));
    let edge = Edge::with_variable(&file, "NIGH_IT_KEY", &made.signing_key.serialize_pem());
    assert_eq!(h2::Client::tls(edge.addresses[0]).get("/").body, "x");
    let ran = nigh(&["run", file.argument()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("the variable NIGH_IT_KEY holds no key"), "{ran:?}");
}

#[test]
fn a_reload_exchanges_the_sites_and_loses_no_request() {
    let (old, new) = (Origin::saying(ok("no-store", "old")), Origin::saying(ok("no-store", "new")));
    let file = SettingsFile::saying(&before(&old, "*"));
    let edge = Edge::of(&file);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let address = edge.addresses[0];
        let done = &done;
        let asking = move || {
            let mut client = Wire::connect(address);
            let mut count = 0_u32;
            while !done.load(Ordering::Relaxed) {
                assert_eq!(client.get("/").status(), 200);
                assert_eq!(Wire::connect(address).get("/").status(), 200);
                count += 1;
            }
            count
        };
        let clients = [scope.spawn(asking), scope.spawn(asking)];
        for round in 0..6 {
            let origin = if round % 2 == 0 { &new } else { &old };
            file.rewrite(&before(origin, "*"));
            edge.hang_up();
            edge.line("the sites are new");
        }
        file.rewrite(&before(&new, "*"));
        edge.hang_up();
        edge.line("the sites are new");
        done.store(true, Ordering::Relaxed);
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    });
    edge.get_until("/", |response| response.text() == "new");
}

#[test]
fn what_is_on_its_way_in_a_reload_ends_as_it_began() {
    let (old, new) = (Origin::start(), Origin::saying(ok("max-age=100", "new")));
    let file = SettingsFile::saying(&before(&old, "www.example"));
    let edge = Edge::of(&file);
    let mut client = edge.client();
    client.ask("GET", "/", "");
    let asked = old.asked();
    file.rewrite(&before(&new, "other.example"));
    edge.hang_up();
    edge.line("the sites are new");
    // Each core takes the new sites when it comes to it.
    edge.get_of_until("other.example", "/", |response| response.status() == 200);
    asked.answer(ok("max-age=100", "old"));
    assert_eq!(client.response().text(), "old");
    assert_eq!(new.requests(), 1);
}

#[test]
fn a_bad_reload_changes_nothing_and_says_why() {
    let origin = Origin::saying(ok("no-store", "x"));
    let file = SettingsFile::saying(&before(&origin, "*"));
    let edge = Edge::of(&file);
    for _ in 0..2 {
        file.rewrite(WRONG);
        edge.hang_up();
        edge.line("nothing is changed");
        edge.line(":2:1: there is no `max_objects` in [cache]; the nearest is `max_object`");
        edge.line(":5:10: ");
        assert_eq!(edge.get("/").text(), "x");
    }
}

#[test]
fn a_reload_says_what_waits_for_a_start() {
    let origin = Origin::saying(ok("no-store", "x"));
    let file = SettingsFile::saying(&before(&origin, "*"));
    let edge = Edge::of(&file);
    file.rewrite(&format!("{}[cache]\nmemory = \"1MiB\"\n", before(&origin, "www.example")));
    edge.hang_up();
    edge.line("cache.memory differ from what runs: restart for that");
    assert_eq!(edge.get("/").text(), "x");
}
