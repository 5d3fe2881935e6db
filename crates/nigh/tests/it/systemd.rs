//! What a service manager hears: sd_notify(3).

use std::{os::unix::net::UnixDatagram, process::Command};

use crate::support::{Directory, Edge, Origin, PATIENCE, SettingsFile, ok, process::NIGH};

/// A manager's end of the conversation.
struct Manager {
    socket: UnixDatagram,
    directory: Directory,
}

impl Manager {
    fn new(name: &str) -> Self {
        let directory = Directory::new(name);
        std::fs::create_dir_all(&directory.0).unwrap();
        let socket = UnixDatagram::bind(directory.0.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, directory }
    }

    /// A command whose process is told where to say what.
    fn command(&self) -> Command {
        let mut command = Command::new(NIGH);
        command.env("NOTIFY_SOCKET", self.directory.0.join("notify"));
        command
    }

    /// What is said next, pings aside.
    #[track_caller]
    fn heard(&self) -> String {
        loop {
            let said = self.next();
            if said != "WATCHDOG=1" {
                return said;
            }
        }
    }

    /// Reads past what was said already.
    fn silence(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("something is said");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }
}

#[test]
fn a_start_a_reload_and_an_end_are_told() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let manager = Manager::new("systemd-life");
    let file =
        SettingsFile::with(&format!("[[site]]\nhost = \"*\"\norigin = \"{}\"\n", origin.url()));
    let mut edge = Edge::described(manager.command(), &file);
    let ready = format!("READY=1\nSTATUS=serving on http://{}", edge.addresses[0]);
    assert_eq!(manager.heard(), ready);
    edge.hang_up();
    let reloading = manager.heard();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it reloads");
    assert!(micros.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.heard(), ready);
    edge.terminate();
    assert_eq!(manager.heard(), "STOPPING=1\nSTATUS=draining");
    assert_eq!(edge.ended().code(), Some(0));
}

#[test]
fn the_manager_hears_which_process_serves_and_then_that_process() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let manager = Manager::new("systemd-replaced");
    let mut edge = Edge::run(manager.command(), &["--to", &origin.url()], &[]);
    let ready = manager.heard();
    edge.process.replace();
    assert_eq!(manager.heard(), format!("MAINPID={}", edge.process.id()));
    assert_eq!(manager.heard(), ready);
}

#[test]
fn the_watchdog_is_told_that_all_is_well_by_each_process_in_turn() {
    let origin = Origin::saying(ok("max-age=1000", "x"));
    let manager = Manager::new("systemd-watchdog");
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "2000000");
    let mut edge = Edge::run(command, &["--to", &origin.url()], &[]);
    let until_pinged = || while manager.next() != "WATCHDOG=1" {};
    until_pinged();
    until_pinged();
    edge.process.replace();
    edge.process.first_ended();
    until_pinged();
}

#[test]
fn the_watchdog_is_told_while_a_process_finishes_before_another_one_serves() {
    let origin = Origin::start();
    let manager = Manager::new("systemd-finishing");
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "2000000");
    let edge = Edge::run(command, &["--to", &origin.url()], &["--admin", "127.0.0.1:0"]);
    let mut client = edge.begin_prefetch("http://www.example/late");
    let asked = origin.asked();
    edge.process.ask_to_be_replaced();
    let line = edge.line("the new process is ready to take over");
    // Datagrams keep their order: what was said before that is behind us soon.
    manager.silence();
    for _ in 0..2 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    asked.answer(ok("max-age=100", "x"));
    let (_, id) = line.rsplit_once("pid=").unwrap();
    assert!(String::from_utf8(client.rest()).unwrap().contains("\"stored\""));
    assert_eq!(manager.heard(), format!("MAINPID={}", id.trim()));
}
