//! SIGUSR2: another process takes the edge's place, and no client notices.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use crate::support::{
    Asked, Directory, Edge, Origin, PATIENCE, SettingsFile, Wire, h2, ok,
    process::{NIGH, nigh},
};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

/// Clients that ask without a pause, and stop the test at the first request that fails.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<usize>>,
}

impl Load {
    /// Some keep their connection until they are told that it ends, others make a new one each time.
    fn start(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = [true, true, true, false, false].map(|keeps| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || ask_on(address, keeps, &over))
        });
        Self { over, clients: clients.into() }
    }

    /// Ends it; says how many requests were answered.
    #[track_caller]
    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("no request fails")).sum()
    }
}

fn ask_on(address: SocketAddr, keeps: bool, over: &AtomicBool) -> usize {
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        let mut wire = Wire::connect(address);
        loop {
            let answer = wire.get("/");
            assert_eq!((answer.status(), answer.text()), (200, "x"), "{answer:?}");
            answered += 1;
            if !keeps || over.load(Ordering::Relaxed) || answer.first("connection") == "close" {
                break;
            }
        }
    }
    answered
}

#[test]
fn no_request_fails_while_one_process_follows_another() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let mut edge = Edge::start(&origin, &ADMIN);
    let address = edge.addresses[0];
    let load = Load::start(address);
    let mut seen = vec![edge.process.id()];
    for _ in 0..4 {
        edge.process.replace();
        seen.push(edge.process.id());
    }
    assert!(load.end() > 0);
    seen.dedup();
    assert_eq!(seen.len(), 5, "each is another process");
    assert_eq!(edge.process.first_ended().code(), Some(0));
    // The admin address is the same, and the last process answers there.
    edge.status_until(|status| {
        status["requests"]["hit"].as_u64() > Some(0) || edge.get("/").says("hit")
    });
    edge.terminate();
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn an_idle_connection_may_ask_once_more_and_is_told_to_leave() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut idle = edge.client();
    assert_eq!(idle.get("/").first("connection"), "");
    let mut silent = edge.client();
    edge.status_until(|status| status["connections"] == 2);
    edge.process.replace();
    for client in [&mut idle, &mut silent] {
        let last = client.get("/");
        assert_eq!((last.text(), last.first("connection")), ("x", "close"));
        client.finish_sending();
        client.assert_closed();
    }
    assert_eq!(edge.process.first_ended().code(), Some(0));
}

#[test]
fn requests_that_came_together_are_all_answered() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut client = edge.client();
    client.get("/");
    edge.process.replace();
    client.send("GET / HTTP/1.1\r\nHost: www.example\r\n\r\n".repeat(3));
    let said = [client.response(), client.response(), client.response()];
    let said = said.map(|answer| answer.first("connection").to_owned());
    assert_eq!(said, ["", "", "close"]);
}

#[test]
fn answers_and_streams_in_flight_are_finished_by_the_old_process() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut client = edge.client();
    client.ask("GET", "/1", "");
    let mut first = origin.asked();
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
    client.final_head();
    assert_eq!(client.exact(5), b"first");
    let streams = h2::Client::clear(edge.addresses[0]);
    let get = h2::request("GET", "/2", &[]).body(h2::empty()).unwrap();
    let asking = streams.runtime.spawn(h2::exchange(streams.sender.clone(), get));
    let second = origin.asked();
    edge.process.replace();
    first.answer("after");
    second.answer(ok("no-store", "x"));
    assert_eq!(client.exact(5), b"after");
    client.finish_sending();
    client.assert_closed();
    assert_eq!(&*streams.runtime.block_on(asking).unwrap().unwrap().body, b"x");
    // The client has been told to go, and closes when it has nothing more to hear.
    assert_eq!(edge.process.first_ended().code(), Some(0));
}

#[test]
fn a_program_that_ends_at_once_does_not_take_over() {
    let directory = Directory::new("handover-program");
    fs::create_dir_all(&directory.0).unwrap();
    let program = directory.0.join("nigh");
    fs::copy(NIGH, &program).unwrap();
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let mut edge = Edge::run(Command::new(&program), &["--to", &origin.url()], &ADMIN);
    let load = Load::start(edge.addresses[0]);
    fs::remove_file(&program).unwrap();
    edge.process.ask_to_be_replaced();
    assert!(edge.line("does not take over, and this one goes on").contains("cannot be started"));
    // Another file at the same path is what is started.
    fs::write(&program, "#!/bin/sh\nexit 7\n").unwrap();
    Command::new("chmod").arg("755").arg(&program).status().unwrap();
    edge.process.ask_to_be_replaced();
    assert!(edge.line("does not take over, and this one goes on").contains("it ended"));
    fs::remove_file(&program).unwrap();
    fs::copy(NIGH, &program).unwrap();
    edge.process.replace();
    assert!(load.end() > 0);
    assert_eq!(edge.process.first_ended().code(), Some(0));
}

#[test]
fn settings_with_a_mistake_leave_the_old_process_where_it_is() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let sites = format!("[[site]]\nhost = \"*\"\norigin = \"{}\"\n", origin.url());
    let file = SettingsFile::with(&sites);
    let edge = Edge::of(&file);
    file.rewrite(&format!("{sites}origins = []\n"));
    edge.process.ask_to_be_replaced();
    edge.line("there may be several `origins`");
    edge.line("does not take over, and this one goes on: it ended; its own last words say why");
    assert_eq!(edge.get("/").text(), "x");
}

#[test]
fn the_new_process_follows_new_settings_and_closes_what_they_do_not_name() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let sites = format!("[[site]]\nhost = \"*\"\norigin = \"{}\"\n", origin.url());
    let settings = |listen: &str, workers: usize| {
        format!("[node]\nlisten = [{listen}]\nworkers = {workers}\n{sites}")
    };
    let anywhere = "\"http://127.0.0.1:0\"";
    let file = SettingsFile::saying(&settings(&[anywhere; 2].join(", "), 3));
    let mut edge = Edge::of(&file);
    let second = edge.line("listening on ");
    let second: SocketAddr =
        second.split("://").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let kept = edge.addresses[0];
    assert_eq!(Wire::connect(second).get("/").text(), "x");
    // Fewer workers than sockets: each is accepted from, whichever the kernel chooses.
    file.rewrite(&settings(&format!("\"http://{kept}\""), 1));
    edge.process.replace();
    edge.process.first_ended();
    for _ in 0..20 {
        assert_eq!(Wire::connect(kept).get("/").text(), "x");
    }
    assert!(TcpStream::connect(second).is_err(), "nobody listens there any more");
    // More workers than sockets: the new ones get sockets of their own.
    // An address that somebody else has leaves the old process where it is.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
    file.rewrite(&settings(&format!("\"http://{kept}\", \"http://{}\"", taken.1), 1));
    edge.process.ask_to_be_replaced();
    edge.line(&format!("cannot listen on {}", taken.1));
    edge.line("does not take over, and this one goes on");
    file.rewrite(&settings(&format!("\"http://{kept}\""), 4));
    let load = Load::start(kept);
    edge.process.replace();
    for _ in 0..20 {
        assert_eq!(Wire::connect(kept).get("/").text(), "x");
    }
    assert!(load.end() > 0);
}

#[test]
fn the_disk_goes_over_to_the_new_process_and_what_was_purged_does_not_come_back() {
    let directory = Directory::new("handover-disk");
    let origin = Origin::answering(|head| ok("max-age=1000", head.target()));
    let flags = ["--disk", directory.argument(), "--disk-size", "64MiB", "--admin", "127.0.0.1:0"];
    let mut edge = Edge::start(&origin, &flags);
    let targets = ["/a", "/b", "/c"];
    for target in targets {
        edge.fill(target);
        assert!(edge.get(target).says("hit"));
    }
    edge.status_until(|status| status["disk"]["objects"] == 3);
    let admin = edge.admin().to_string();
    let url = "http://www.example/a";
    assert_eq!(nigh(&["purge", url, "--admin", &admin]).code, Some(0));
    edge.process.replace();
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
    let asked = origin.requests();
    for target in &targets[1..] {
        let answer = edge.get(target);
        assert!(answer.says("hit") && answer.says("detail=disk"), "{answer:?}");
    }
    assert_eq!(origin.requests(), asked);
    assert!(edge.get("/a").says("fwd=uri-miss"));
    // The new process writes there, and hands over in its turn.
    edge.fill("/d");
    assert!(edge.get("/d").says("hit"));
    edge.status_until(|status| status["disk"]["objects"] == 3);
    edge.process.replace();
    edge.status_until(|status| status["disk"]["unread_segments"] == 0);
    assert!(edge.get("/d").says("detail=disk"));
}

/// Whether this process has ended. Whoever has adopted it need not have waited for it yet.
fn is_gone(id: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(id.trim()).join("status"));
    status.map_or(true, |status| status.contains("State:\tZ"))
}

#[test]
fn a_process_that_is_told_to_end_while_another_is_on_its_way_takes_it_along() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let directory = Directory::new("handover-told");
    fs::create_dir_all(&directory.0).unwrap();
    let program = directory.0.join("nigh");
    fs::copy(NIGH, &program).unwrap();
    let mut edge = Edge::run(Command::new(&program), &["--to", &origin.url()], &ADMIN);
    fs::remove_file(&program).unwrap();
    fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    Command::new("chmod").arg("755").arg(&program).status().unwrap();
    edge.process.ask_to_be_replaced();
    let line = edge.line("a new process is started");
    let (_, id) = line.rsplit_once("pid=").unwrap();
    edge.process.ask_to_be_replaced();
    edge.line("a new process is on its way");
    edge.terminate();
    // Both outputs are closed: none of the two is left.
    assert_eq!(edge.ended().code(), Some(0));
    assert!(is_gone(id));
}

#[test]
fn an_admin_socket_goes_over_with_its_file() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let directory = Directory::new("handover-admin");
    fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join("nigh.sock");
    let admin = format!("unix:{}", path.display());
    let mut edge = Edge::start(&origin, &["--admin", &admin]);
    for _ in 0..2 {
        let before = fs::metadata(&path).unwrap();
        edge.process.replace();
        assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
        let ran = nigh(&["status", "--admin", &admin]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    assert_eq!(edge.process.first_ended().code(), Some(0));
    assert_eq!(nigh(&["status", "--admin", &admin]).code, Some(0), "its file is still there");
    edge.terminate();
    edge.ended();
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0, "its file went with the last one");
}

#[test]
fn an_admin_socket_that_new_settings_do_not_name_goes_with_the_old_process() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let directory = Directory::new("handover-admin-elsewhere");
    fs::create_dir_all(&directory.0).unwrap();
    let [one, two] = ["one.sock", "two.sock"].map(|name| directory.0.join(name));
    let settings = |path: &Path| {
        SettingsFile::listening(&format!(
            "admin = \"unix:{}\"\n[[site]]\nhost = \"*\"\norigin = \"{}\"\n",
            path.display(),
            origin.url()
        ))
    };
    let file = SettingsFile::saying(&settings(&one));
    let mut edge = Edge::of(&file);
    file.rewrite(&settings(&two));
    edge.process.replace();
    assert_eq!(edge.process.first_ended().code(), Some(0));
    assert!(!one.exists() && two.exists());
    let admin = format!("unix:{}", two.display());
    assert_eq!(nigh(&["status", "--admin", &admin]).code, Some(0));
}

#[test]
fn where_redirected_clients_come_in_goes_over() {
    let mut edge = Edge::forward(&["--transparent", "127.0.0.1:0"]);
    let line = edge.line("redirected clients on redirect://");
    let address: SocketAddr = line.rsplit("://").next().unwrap().trim().parse().unwrap();
    edge.process.replace();
    edge.process.first_ended();
    // It is accepted and, as nobody has redirected it, closed.
    Wire::connect(address).assert_closed();
}

/// Something that takes its time at the admin address: the origin is not in a hurry.
fn prefetch(edge: &Edge, origin: &Origin) -> (Wire, Asked) {
    (edge.begin_prefetch("http://www.example/late"), origin.asked())
}

#[test]
fn what_was_asked_at_the_admin_address_is_answered_before_another_process_answers_there() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let mut events = edge.events();
    let (mut client, asked) = prefetch(&edge, &origin);
    edge.process.ask_to_be_replaced();
    edge.line("the new process is ready to take over");
    // Who only listens is sent away at once, and whoever comes now is answered by the next process.
    assert!(events.chunk().is_none());
    let mut next = Wire::connect(edge.admin());
    next.send(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", edge.admin()));
    asked.answer(ok("max-age=100", "x"));
    assert_eq!(client.head().status(), 200);
    let line = String::from_utf8(client.chunk().unwrap()).unwrap();
    assert!(line.contains("\"outcome\":\"stored\""), "{line}");
    assert!(client.chunk().is_none(), "the answer is whole");
    edge.line("the new process serves");
    assert_eq!(next.response().text(), "ok\n");
    assert_eq!(edge.process.first_ended().code(), Some(0));
}

#[test]
fn settings_that_are_read_again_while_another_process_is_on_its_way_are_read_by_that_too() {
    let origin = Origin::start();
    let site = |host: &str| {
        SettingsFile::listening(&format!(
            "admin = \"127.0.0.1:0\"\n[[site]]\nhost = \"{host}\"\norigin = \"{}\"\n",
            origin.url()
        ))
    };
    let file = SettingsFile::saying(&site("www.example"));
    let edge = Edge::of(&file);
    let (_client, asked) = prefetch(&edge, &origin);
    edge.process.ask_to_be_replaced();
    edge.line("the new process is ready to take over");
    file.rewrite(&site("other.example"));
    edge.hang_up();
    edge.line("the settings were read again");
    asked.answer(ok("max-age=100", "x"));
    edge.line("the settings were read again");
    assert_eq!(edge.get("/").status(), 421, "there is no www.example any more");
}

#[test]
fn a_process_that_is_told_to_end_while_it_finishes_takes_the_new_one_along() {
    let origin = Origin::start();
    let mut edge = Edge::start(&origin, &ADMIN);
    let (_client, asked) = prefetch(&edge, &origin);
    edge.process.ask_to_be_replaced();
    edge.line("the new process is ready to take over");
    edge.terminate();
    edge.line("draining");
    // The admin address is this process' again, until the end.
    edge.ask_admin("/healthz").assert_problem(503);
    asked.answer(ok("max-age=100", "x"));
    // Both outputs are closed: none of the two is left.
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn a_new_process_that_ends_while_the_old_one_finishes_leaves_the_admin_address_to_it() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &ADMIN);
    let (_client, asked) = prefetch(&edge, &origin);
    edge.process.ask_to_be_replaced();
    let line = edge.line("the new process is ready to take over");
    let (_, id) = line.rsplit_once("pid=").unwrap();
    Command::new("kill").args(["-KILL", id.trim()]).status().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !is_gone(id) {
        assert!(Instant::now() < deadline, "what was killed does not end");
        std::thread::yield_now();
    }
    asked.answer(ok("max-age=100", "x"));
    edge.line("does not take over, and this one goes on");
    assert_eq!(edge.ask_admin("/healthz").text(), "ok\n");
    assert!(edge.get("/late").says("hit"));
}
