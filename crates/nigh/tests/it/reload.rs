//! Settings that change while the edge runs: at the admin address, and by SIGHUP what is more than
//! sites.

use std::{fs, time::Instant};

use serde_json::Value;

use crate::support::{Directory, Edge, Origin, PATIENCE, SettingsFile, h2, ok};

const ADMIN: &str = "admin = \"127.0.0.1:0\"\n";

fn before(origin: &Origin, host: &str) -> String {
    let url = origin.url();
    SettingsFile::listening(&format!("{ADMIN}[[site]]\nhost = \"{host}\"\norigin = \"{url}\"\n"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn settings_that_are_put_take_effect_at_once_and_until_the_next_reload() {
    let (old, new) = (Origin::saying(ok("no-store", "old")), Origin::saying(ok("no-store", "new")));
    let file = SettingsFile::saying(&before(&old, "*"));
    let edge = Edge::of(&file);
    let mut events = edge.events();
    let text = format!("{}[cache]\nmemory = \"1MiB\"\n", before(&new, "*"));
    let put = edge.tell_admin("PUT", "/v1/config", "", &text);
    assert_eq!(put.status(), 200, "{}", put.text());
    let said = json(put.text());
    assert_eq!((&said["applied"], &said["persisted"]), (&true.into(), &false.into()));
    assert_eq!(said["waiting_for_restart"], json("[\"cache.memory\"]"));
    let change = &said["difference"]["sites_changed"][0];
    assert_eq!((&change["site"], &change["keys"][0]["key"]), (&"*".into(), &"origins".into()));
    edge.get_until("/", |answer| answer.text() == "new");
    let told = String::from_utf8(events.chunk().unwrap()).unwrap();
    assert!(told.starts_with("event: reloaded\n") && told.contains("cache.memory"), "{told}");
    let config = json(edge.ask_admin("/v1/config").text());
    assert_eq!((&config["said"], &config["file"]), (&"admin".into(), &file.argument().into()));
    assert_eq!(config["settings"]["cache"]["memory"], "1MiB");
    // The file says otherwise still.
    edge.hang_up();
    edge.line("the sites are new");
    edge.get_until("/", |answer| answer.text() == "old");
    assert_eq!(json(edge.ask_admin("/v1/config").text())["said"], "file");
}

#[test]
fn settings_with_mistakes_change_nothing_and_every_mistake_is_told_with_its_place() {
    let origin = Origin::saying(ok("no-store", "x"));
    let file = SettingsFile::saying(&before(&origin, "*"));
    let edge = Edge::of(&file);
    let config = || edge.ask_admin("/v1/config").text().to_owned();
    let held = config();
    let wrong = "[cache]\nmax_objects = 1\n[[site]]\nhost = \"*\"\norigin = \"ftp://a\"\n";
    for (method, path) in
        [("PUT", "/v1/config"), ("PUT", "/v1/config?persist"), ("POST", "/v1/config/diff")]
    {
        let refused = edge.tell_admin(method, path, "", wrong);
        refused.assert_problem(422);
        let places: Vec<(u64, u64)> = json(refused.text())["mistakes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mistake| (mistake["line"].as_u64().unwrap(), mistake["column"].as_u64().unwrap()))
            .collect();
        assert_eq!(places, [(2, 1), (5, 10)], "{}", refused.text());
        assert!(refused.text().contains("the nearest is `max_object`"), "{}", refused.text());
    }
    // What cannot be read is a mistake too, though not one of the text.
    let text = before(&origin, "*")
        .replace("[[site]]", "[tls]\ncert = \"/nowhere\"\nkey = \"/nowhere\"\n[[site]]");
    let refused = edge.tell_admin("PUT", "/v1/config", "", &text);
    refused.assert_problem(422);
    let mistake = &json(refused.text())["mistakes"][0];
    assert_eq!(mistake["line"], Value::Null);
    assert!(mistake["message"].as_str().unwrap().contains("cannot read /nowhere"), "{mistake}");
    assert_eq!(config(), held);
    assert_eq!(edge.get("/").text(), "x");
    edge.tell_admin("PUT", "/v1/config?persist=perhaps", "", "").assert_problem(400);
}

#[test]
fn a_diff_says_what_would_change_and_changes_nothing() {
    let origin = Origin::saying(ok("no-store", "x"));
    let file = SettingsFile::saying(&before(&origin, "a.example"));
    let edge = Edge::of(&file);
    let text = format!(
        "{}[[site.path]]\nmatch = \"/s/\"\nttl = \"1d\"\n[[site]]\nhost = \"b.example\"\norigin = \"{}\"\n[limits]\nmax_body = \"1KiB\"\n",
        before(&origin, "a.example").replace("workers = 2", "workers = 3"),
        origin.url()
    );
    let said = edge.tell_admin("POST", "/v1/config/diff", "", &text);
    let said = json(said.text());
    assert_eq!(said["applied"], false);
    let difference = &said["difference"];
    assert_eq!(difference["sites_added"], json("[\"b.example\"]"));
    assert_eq!(difference["sites_removed"], json("[]"));
    assert_eq!(difference["sites_changed"][0]["site"], "a.example");
    assert_eq!(difference["sites_changed"][0]["keys"][0]["key"], "path");
    let keys: Vec<(&str, bool)> = difference["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["key"].as_str().unwrap(), change["restart"].as_bool().unwrap()))
        .collect();
    assert_eq!(keys, [("node.workers", true), ("limits.max_body", false)]);
    assert_eq!(edge.get_of("b.example", "/").status(), 421);
    let same = edge.tell_admin("POST", "/v1/config/diff", "", &before(&origin, "a.example"));
    let empty = json("{\"sites_added\":[],\"sites_removed\":[],\"sites_changed\":[],\"keys\":[]}");
    assert_eq!(json(same.text())["difference"], empty);
}

#[test]
fn settings_persist_in_the_file_if_that_is_asked_for_and_there_is_one() {
    let origin = Origin::saying(ok("no-store", "x"));
    let file = SettingsFile::saying(&before(&origin, "a.example"));
    let edge = Edge::of(&file);
    let text = format!("# kept as it is\n{}", before(&origin, "b.example"));
    let put = edge.tell_admin("PUT", "/v1/config?persist", "", &text);
    assert_eq!(json(put.text())["persisted"], true, "{}", put.text());
    assert_eq!(fs::read_to_string(&file.path).unwrap(), text);
    edge.hang_up();
    edge.line("the sites are new");
    edge.get_of_until("b.example", "/", |answer| answer.status() == 200);
    let flags = Edge::start(&origin, &["--admin", "127.0.0.1:0"]);
    let text = before(&origin, "c.example");
    flags.tell_admin("PUT", "/v1/config?persist", "", &text).assert_problem(409);
    assert_eq!(flags.get_of("c.example", "/").status(), 200, "it is for every host still");
    assert_eq!(flags.tell_admin("PUT", "/v1/config", "", &text).status(), 200);
    flags.get_of_until("other.example", "/", |answer| answer.status() == 421);
}

#[test]
fn secrets_are_shown_by_where_they_lie() {
    let origin = Origin::saying(ok("no-store", "x"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = SettingsFile::saying(&made.cert.pem());
    let text = before(&origin, "*").replace(
        "[[site]]",
        &format!(
            "[tls]\ncert = \"{}\"\nkey = {{ env = \"NIGH_IT_RELOAD\" }}\n[[site]]",
            certificate.argument()
        ),
    );
    let file = SettingsFile::saying(&text);
    let key = made.signing_key.serialize_pem();
    let edge = Edge::with_variable(&file, "NIGH_IT_RELOAD", &key);
    let config = edge.ask_admin("/v1/config");
    assert_eq!(json(config.text())["settings"]["tls"]["key"]["env"], "NIGH_IT_RELOAD");
    assert!(!config.text().contains("PRIVATE KEY"));
}

#[test]
fn a_new_certificate_is_seen_by_new_connections() {
    let origin = Origin::saying(ok("no-store", "x"));
    let (certificate, key) = (SettingsFile::saying(""), SettingsFile::saying(""));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        certificate.rewrite(&made.cert.pem());
        key.rewrite(&made.signing_key.serialize_pem());
        made.cert.der().to_vec()
    };
    let first = renew();
    let file = SettingsFile::saying(&format!(
        "[node]\nlisten = \"https://127.0.0.1:0\"\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n\
         [[site]]\nhost = \"*\"\norigin = \"{}\"\n",
        certificate.argument(),
        key.argument(),
        origin.url()
    ));
    let edge = Edge::of(&file);
    let open = h2::Client::tls(edge.addresses[0]);
    assert_eq!(h2::certificate(edge.addresses[0]), first);
    let second = renew();
    edge.hang_up();
    edge.line("new connections see a new certificate");
    assert_eq!(h2::certificate(edge.addresses[0]), second);
    assert_eq!(open.get("/").body, "x", "what was open goes on");
    // A certificate without its key changes nothing.
    key.rewrite("no key");
    edge.hang_up();
    edge.line("nothing is changed");
    assert_eq!(h2::certificate(edge.addresses[0]), second);
}

#[test]
fn limits_change_while_the_edge_runs() {
    let origin = Origin::saying(ok("no-store", "x"));
    let file = SettingsFile::saying(&before(&origin, "*"));
    let edge = Edge::of(&file);
    let target = format!("/{}", "x".repeat(2000));
    assert_eq!(edge.get(&target).status(), 200);
    file.rewrite(&format!("{}[limits]\nmax_target = \"1KiB\"\n", before(&origin, "*")));
    edge.hang_up();
    edge.line("the sites are new");
    let deadline = Instant::now() + PATIENCE;
    // Each core takes them when it comes to it.
    while edge.get(&target).status() != 414 {
        assert!(Instant::now() < deadline, "the limit does not change");
    }
}

#[test]
fn the_access_log_is_opened_anew_so_that_logs_can_be_rotated() {
    let origin = Origin::saying(ok("no-store", "x"));
    let directory = Directory::new("rotated");
    fs::create_dir_all(&directory.0).unwrap();
    let (log, old) = (directory.0.join("access.log"), directory.0.join("access.log.1"));
    let text = before(&origin, "*")
        .replace("workers = 2", &format!("workers = 2\naccess_log = \"{}\"", log.display()));
    let file = SettingsFile::saying(&text);
    let mut edge = Edge::of(&file);
    edge.get("/before");
    let written = || fs::read_to_string(&log).unwrap_or_default().contains("/before");
    let deadline = Instant::now() + PATIENCE;
    while !written() {
        assert!(Instant::now() < deadline, "no line is written");
        std::thread::yield_now();
    }
    fs::rename(&log, &old).unwrap();
    edge.hang_up();
    edge.line("the sites are new");
    edge.get("/after");
    edge.terminate();
    assert!(edge.ended().success());
    let lines = |path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((lines(&old), lines(&log)), (1, 1));
    assert!(fs::read_to_string(&log).unwrap().contains("/after"));
}

#[test]
fn a_pipe_in_place_of_a_named_file_is_refused_by_its_key_and_holds_nothing_up() {
    let origin = Origin::saying(ok("no-store", "x"));
    let directory = Directory::new("pipe");
    fs::create_dir_all(&directory.0).unwrap();
    let pipe = directory.0.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.display();
    let text = before(&origin, "*");
    let file = SettingsFile::saying(&text);
    let mut edge = Edge::of(&file);
    let (ca, key) = (format!("origin_ca = \"{pipe}\"\n"), format!("key = \"{pipe}\"\n"));
    let secure = text.replace("origin = \"http://", "origin = \"https://");
    let path =
        format!("[[site.path]]\nmatch = \"/\"\nsigned = [{{ id = \"k\", file = \"{pipe}\" }}]\n");
    for (wrong, named) in [
        (format!("{secure}{ca}"), "origin_ca of site *"),
        (text.replace("[[site]]", &format!("[tls]\ncert = \"{pipe}\"\n{key}[[site]]")), "tls.cert"),
        (
            text.replace("[[site]]", &format!("admin_token = {{ file = \"{pipe}\" }}\n[[site]]")),
            "node.admin_token",
        ),
        (format!("{text}{path}"), "signed key k of site *"),
    ] {
        for (method, to) in [("PUT", "/v1/config"), ("POST", "/v1/config/diff")] {
            let refused = edge.tell_admin(method, to, "", &wrong);
            refused.assert_problem(422);
            let said = json(refused.text())["mistakes"][0]["message"].as_str().unwrap().to_owned();
            assert_eq!(said, format!("{named}: cannot read {pipe}: it is no regular file"));
        }
        file.rewrite(&wrong);
        edge.hang_up();
        assert!(edge.line("nothing is changed").contains("it is no regular file"));
    }
    assert_eq!(edge.get("/").text(), "x");
    edge.terminate();
    assert!(edge.ended().success());
}

#[test]
fn settings_are_put_only_in_place_of_those_that_if_match_names() {
    let origin = Origin::saying(ok("no-store", "x"));
    let file = SettingsFile::saying(&before(&origin, "a.example"));
    let edge = Edge::of(&file);
    let etag = || edge.ask_admin("/v1/config").first("etag").to_owned();
    let put = |lines: &str, host: &str| {
        edge.tell_admin("PUT", "/v1/config", lines, &before(&origin, host))
    };
    let first = etag();
    assert!(first.len() > 20 && first.starts_with('"') && first.ends_with('"'), "{first}");
    assert_eq!(first, etag());
    let named = put(&format!("If-Match: \"other\", {first}\r\n"), "b.example");
    assert_eq!((named.status(), named.first("etag")), (200, ""), "{}", named.text());
    let second = etag();
    assert_ne!(first, second);
    assert_eq!(json(named.text())["etag"], second);
    // They are others by now; and a weak tag never says that they are the same.
    for lines in [format!("If-Match: {first}\r\n"), format!("If-Match: W/{second}\r\n")] {
        let outdated = put(&lines, "c.example");
        outdated.assert_problem(412);
        assert!(json(outdated.text())["detail"].as_str().unwrap().contains(&second));
    }
    assert_eq!(etag(), second);
    let same = edge.tell_admin("POST", "/v1/config/diff", "", &before(&origin, "c.example"));
    assert_eq!(json(same.text())["etag"], second, "a diff is against this");
    assert_eq!(put("If-Match: *\r\n", "c.example").status(), 200);
    edge.get_of_until("c.example", "/", |answer| answer.status() == 200);
}
