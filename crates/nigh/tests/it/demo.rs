//! `nigh demo`: two clusters on this machine, to look at and to break.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Instant,
};

use crate::support::{
    Directory, PATIENCE, Wire,
    process::{NIGH, Process, nigh},
};

/// A demo in a directory of its own; what it said of its edges.
struct Demo {
    process: Process,
    directory: Directory,
    edges: BTreeMap<String, (SocketAddr, SocketAddr)>,
}

impl Demo {
    #[track_caller]
    fn start(name: &str, flags: &[&str]) -> Self {
        let directory = Directory::new(name);
        let mut command = Command::new(NIGH);
        // Where those are looked for that are named.
        command.env("XDG_RUNTIME_DIR", "/nowhere").args(["demo", "--json"]).args(flags);
        command.args(["--dir", directory.argument()]);
        let process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut edges = BTreeMap::new();
        while edges.len() < 6 {
            let line: serde_json::Value = serde_json::from_str(&process.line("\"edge\"")).unwrap();
            let address = |of: &str| line[of].as_str().unwrap().parse().unwrap();
            let name = line["name"].as_str().unwrap().to_owned();
            edges.insert(name, (address("http"), address("admin")));
        }
        process.line("\"ready\"");
        Self { process, directory, edges }
    }

    #[track_caller]
    fn get(&self, edge: &str, target: &str) -> crate::support::Response {
        Wire::connect(self.edges[edge].0).get(target)
    }

    fn order(&self, what: &str, edge: &str) -> crate::support::process::Ran {
        nigh(&[what, edge, "--demo", self.directory.argument()])
    }
}

/// What both kinds of demo do alike.
fn lives_and_is_broken(demo: &Demo) {
    let names: Vec<&str> = demo.edges.keys().map(String::as_str).collect();
    assert_eq!(names, ["eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3"]);
    // One edge of the parent asks the origin, whoever was asked.
    for target in (0..10).map(|number| format!("/object/{number}/100")) {
        for edge in demo.edges.keys() {
            assert_eq!(demo.get(edge, &target).status(), 200);
        }
    }
    let metric = |edge: &str, name: &str| -> u64 {
        let mut wire = Wire::connect(demo.edges[edge].1);
        wire.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let page = wire.response();
        let value = page.text().lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().trim().parse().unwrap()
    };
    let asked: u64 = demo.edges.keys().map(|edge| metric(edge, "nigh_origin_requests_total")).sum();
    assert_eq!(asked, 10);
    let status = nigh(&["status", "--admin", &demo.edges["us-3"].1.to_string()]);
    assert!(status.stdout.starts_with("us-3: "), "{status:?}");
    assert!(status.stdout.contains("\ncluster   us, parent eu: "), "{status:?}");
    assert!(status.stdout.contains(" of 3 edges up, "), "{status:?}");

    let killed = demo.order("kill", "eu-2");
    assert_eq!(killed.code, Some(0), "{killed:?}");
    assert!(std::net::TcpStream::connect(demo.edges["eu-2"].0).is_err());
    assert_eq!(demo.get("eu-1", "/object/0/100").status(), 200);
    let again = demo.order("kill", "eu-2");
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("nigh revive eu-2"), "{again:?}");
    let revived = demo.order("revive", "eu-2");
    assert_eq!((revived.code, &*revived.stdout), (Some(0), "eu-2 serves again\n"));
    assert_eq!(demo.get("eu-2", "/object/0/100").status(), 200);
}

/// What both leave when they end.
fn leaves_nothing(mut demo: Demo) {
    assert!(demo.process.ended().success());
    for (http, admin) in demo.edges.values() {
        assert!([http, admin].into_iter().all(|it| std::net::TcpStream::connect(it).is_err()));
    }
    assert!(!demo.directory.0.exists(), "it has cleaned up");
}

#[test]
fn two_clusters_live_in_one_process_and_an_edge_can_be_killed_and_comes_back() {
    let demo = Demo::start("demo-one", &[]);
    lives_and_is_broken(&demo);
    let purged = nigh(&["purge", "--all", "--admin", &demo.edges["us-1"].1.to_string()]);
    assert_eq!(purged.code, Some(0), "{purged:?}");
    for name in demo.edges.keys() {
        assert!(purged.stdout.contains(&format!("{name}: forgotten after")), "{purged:?}");
    }
    let status = nigh(&["status", "--admin", &demo.edges["eu-1"].1.to_string()]);
    assert!(status.stdout.contains("\ncontrol   heard; purges up to "), "{status:?}");
    demo.process.terminate();
    leaves_nothing(demo);
}

#[test]
fn an_edge_is_drained_by_its_name_and_so_it_stays_until_it_is_taken_back() {
    let demo = Demo::start("demo-drained", &[]);
    let admin = |edge: &str| demo.edges[edge].1;
    let drain = |name: &str, flags: &[&str]| {
        nigh(&[&["drain", name, "--admin", &admin("eu-1").to_string()], flags].concat())
    };
    let is_well = |edge: &str| {
        let mut wire = Wire::connect(admin(edge));
        wire.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        wire.response().status() == 200
    };
    let owners = || {
        let explain = |number: u32| {
            let url = format!("http://www.example/object/{number}/100");
            let ran = nigh(&["explain", &url, "--json", "--admin", &admin("eu-3").to_string()]);
            let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            answer["edges"][0].as_str().unwrap().to_owned()
        };
        (0..32).map(explain).collect::<std::collections::BTreeSet<_>>()
    };
    assert!(owners().contains("eu-2"));
    let drained = drain("eu-2", &[]);
    assert_eq!(
        (drained.code, &*drained.stdout),
        (Some(0), "eu-2 is drained: it is off the ring\n")
    );
    assert!(!is_well("eu-2") && is_well("eu-3"));
    let deadline = Instant::now() + PATIENCE;
    while owners().contains("eu-2") {
        assert!(Instant::now() < deadline, "eu-3 still takes it for an owner");
    }
    assert_eq!(demo.get("eu-2", "/object/0/100").status(), 200, "whoever comes is served");
    let again = drain("eu-2", &["--json"]);
    let answer: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&answer["changed"], &answer["drained"]), (&false.into(), &true.into()));

    assert_eq!(demo.order("kill", "eu-2").code, Some(0));
    assert_eq!(demo.order("revive", "eu-2").code, Some(0));
    assert!(!is_well("eu-2"), "it is known before it says a word of itself");
    let listed = nigh(&["drain", "--admin", &admin("eu-3").to_string()]);
    assert_eq!(listed.stdout, "eu-2\n");
    let unknown = drain("eu-9", &[]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no edge of this cluster is called \"eu-9\""), "{unknown:?}");

    let back = drain("eu-2", &["--undo"]);
    assert_eq!((back.code, &*back.stdout), (Some(0), "eu-2 is not drained: it is on the ring\n"));
    assert!(is_well("eu-2"));
}

#[test]
fn they_live_in_processes_of_their_own_too() {
    let demo = Demo::start("demo-many", &["--processes"]);
    lives_and_is_broken(&demo);
    // Somebody else kills one.
    let found = fs::read(demo.directory.0.join("demo.json")).unwrap();
    let found: serde_json::Value = serde_json::from_slice(&found).unwrap();
    let edges = found["edges"].as_array().unwrap();
    let pid = &edges.iter().find(|edge| edge["name"] == "eu-3").unwrap()["pid"];
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    while std::net::TcpStream::connect(demo.edges["eu-3"].0).is_ok() {
        std::thread::yield_now();
    }
    let revived = demo.order("revive", "eu-3");
    assert_eq!(revived.code, Some(0), "{revived:?}");
    assert_eq!(demo.get("eu-3", "/object/0/100").status(), 200);
    demo.process.hang_up();
    leaves_nothing(demo);
}

#[test]
fn a_directory_with_files_of_somebody_else_is_refused_and_left_as_it_is() {
    let directory = Directory::new("demo-mine");
    fs::create_dir_all(directory.0.join("edges")).unwrap();
    let mine = directory.0.join("edges/notes.txt");
    fs::write(&mine, "mine").unwrap();
    let chmod = Command::new("chmod").args(["700", directory.argument()]).status();
    assert!(chmod.unwrap().success());
    let ran = nigh(&["demo", "--dir", directory.argument()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("is not empty"), "{ran:?}");
    assert_eq!(fs::read_to_string(mine).unwrap(), "mine");
}

#[test]
fn a_tour_takes_no_orders_and_one_that_is_ended_says_what_was_seen() {
    let directory = Directory::new("tour-ended");
    let mut command = Command::new(NIGH);
    command.args(["demo", "--tour", "--json", "--dir", directory.argument()]);
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    process.line("\"load\"");
    let killed = nigh(&["kill", "eu-2", "--demo", directory.argument()]);
    assert_eq!(killed.code, Some(1));
    assert!(killed.stderr.contains("a tour takes no orders"), "{killed:?}");
    process.terminate();
    let last: serde_json::Value = serde_json::from_str(&process.line("\"end\"")).unwrap();
    assert_eq!(last["whole"], false, "{last}");
    assert_eq!(process.ended().code(), Some(1));
}

#[test]
fn they_end_with_a_demo_that_is_killed() {
    let Demo { process, directory, edges } = Demo::start("demo-killed", &["--processes"]);
    let found: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.0.join("demo.json")).unwrap()).unwrap();
    let id = |edge: &serde_json::Value| edge["pid"].as_u64().unwrap();
    let ids: Vec<u64> = found["edges"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(ids.len(), edges.len());
    // As kill -9 does.
    drop(process);
    let deadline = Instant::now() + PATIENCE;
    let is_there = |address: &SocketAddr| std::net::TcpStream::connect(address).is_ok();
    while edges.values().any(|(http, admin)| is_there(http) || is_there(admin)) {
        assert!(Instant::now() < deadline, "some of {ids:?} go on");
        std::thread::yield_now();
    }
}

#[test]
fn an_edge_is_asked_by_its_name_where_the_demo_is_in_its_usual_place() {
    let folder = Directory::new("runtime");
    fs::create_dir_all(&folder.0).unwrap();
    let usual = folder.0.join("nigh-demo");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(NIGH);
        command.env("XDG_RUNTIME_DIR", &folder.0).args(arguments).output().unwrap()
    };
    let mut command = Command::new(NIGH);
    command.env("XDG_RUNTIME_DIR", &folder.0).args(["demo"]);
    let process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    process.line("nigh top --admin eu-2");
    let status = run(&["status", "--admin", "eu-2"]);
    assert!(String::from_utf8_lossy(&status.stdout).starts_with("eu-2: "), "{status:?}");
    let absent = run(&["status", "--admin", "eu-9"]);
    let said = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(said.contains("the demo has no edge `eu-9`, but eu-1, eu-2"), "{said}");
    let nobody = run(&["status", "--admin", "127.0.0.1:1"]);
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("--admin eu-1"), "{said}");
    assert!(run(&["kill", "eu-2"]).status.success());
    let killed = run(&["status", "--admin", "eu-2"]);
    let said = String::from_utf8_lossy(&killed.stderr).into_owned();
    assert!(said.contains("nigh revive eu-2"), "{said}");
    let second = run(&["demo"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("a demo runs in"), "{second:?}");
    assert!(usual.exists());
}

/// The lines of a tour, and its last one.
#[track_caller]
fn toured(name: &str, flags: &[&str]) -> serde_json::Value {
    let directory = Directory::new(name);
    let mut command = Command::new(NIGH);
    command.args(["demo", "--tour", "--json", "--dir", directory.argument()]).args(flags);
    let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut lines: Vec<serde_json::Value> = Vec::new();
    // Each of its parts has the patience of a whole command.
    while lines.last().is_none_or(|line| line["what"] != "end") {
        let line = process.line("");
        lines.push(serde_json::from_str(&line).expect(&line));
    }
    assert!(process.ended().success(), "{lines:#?}");
    let of = |what: &str| lines.iter().find(|line| line["what"] == what).unwrap().clone();
    for part in ["filled", "joined", "killed", "back", "purged"] {
        assert_eq!(of(part)["failed_requests"], 0, "{part}");
        assert!(of(part)["requests"].as_u64().unwrap() > 0, "{part}");
    }
    assert!(of("killed")["cut_connections"].as_u64().unwrap() > 0);
    assert!(of("purged")["origin_requests"].as_u64() > of("back")["origin_requests"].as_u64());
    let edges = of("purge")["edges"].as_array().map(Vec::len);
    assert_eq!(edges, (!flags.contains(&"--processes")).then_some(7));
    let last = lines.last().unwrap().clone();
    assert_eq!(last["whole"], true);
    last
}

#[test]
fn a_tour_fails_no_client_and_says_in_its_last_line_what_was_seen() {
    let last = toured("tour-one", &[]);
    assert_eq!((&last["what"], &last["failed_requests"]), (&"end".into(), &0.into()), "{last}");
    let number = |name: &str| last[name].as_f64().unwrap();
    assert!(number("origin_requests") < number("requests"), "{last}");
    let hits = 1.0 - number("origin_requests") / number("requests");
    assert!((number("hit_ratio") - hits).abs() < 1e-9, "{last}");
}

#[test]
fn a_tour_with_processes_kills_one_of_them() {
    assert_eq!(toured("tour-many", &["--processes"])["failed_requests"], 0);
}
