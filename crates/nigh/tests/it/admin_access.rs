//! Who may ask the admin address, and where it can be: a token, and sockets in the file system.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    process::Command,
};

use crate::support::{
    Directory, Edge, Origin, SettingsFile, Wire, ok,
    process::{NIGH, nigh},
};

const TOKEN: &str = "a-token-of-some-length";

#[test]
fn with_a_token_only_who_shows_it_is_answered() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let token = SettingsFile::saying(&format!("{TOKEN}\n"));
    let flags = ["--admin", "127.0.0.1:0", "--admin-token-file", token.argument()];
    let edge = Edge::start(&origin, &flags);
    for (lines, status) in [
        (String::new(), 401),
        ("Authorization: Bearer a-token-of-other-length\r\n".to_owned(), 401),
        (format!("Authorization: Basic {TOKEN}\r\n"), 401),
        (format!("Authorization: Bearer {TOKEN}\r\n"), 200),
    ] {
        for path in ["/healthz", "/v1/status", "/metrics"] {
            let answer = edge.tell_admin("GET", path, &lines, "");
            assert_eq!(answer.status(), status, "{path} {lines}");
            assert_eq!(answer.first("www-authenticate").starts_with("Bearer"), status == 401);
        }
    }
    // Whoever has it may come by any name, but not from a page in a browser.
    let mut wire = Wire::connect(edge.admin());
    wire.send(format!(
        "GET /healthz HTTP/1.1\r\nHost: edge.example\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ));
    assert_eq!(wire.response().status(), 200);
    let lines = format!("Authorization: Bearer {TOKEN}\r\nOrigin: http://a\r\n");
    edge.tell_admin("GET", "/healthz", &lines, "").assert_problem(403);
    assert!(!edge.tell_admin("GET", "/v1/config", &lines, "").text().contains(TOKEN));
}

#[test]
fn commands_show_a_token_from_a_file_or_from_the_environment() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let token = SettingsFile::saying(TOKEN);
    let flags = ["--admin", "127.0.0.1:0", "--admin-token-file", token.argument()];
    let edge = Edge::start(&origin, &flags);
    let admin = format!("http://{}", edge.admin());
    let bare = nigh(&["status", "--admin", &admin]);
    assert_eq!(bare.code, Some(1));
    assert!(bare.stderr.contains("give --token-file, or set NIGH_ADMIN_TOKEN"), "{}", bare.stderr);
    let shown = nigh(&["status", "--admin", &admin, "--token-file", token.argument()]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let mut command = Command::new(NIGH);
    let command = command.args(["purge", "--all", "--admin", &admin]);
    let purged = command.env("NIGH_ADMIN_TOKEN", TOKEN).output().unwrap();
    assert!(purged.status.success(), "{purged:?}");
}

#[test]
fn an_address_that_others_can_reach_wants_a_token() {
    let sites = "[[site]]\nhost = \"*\"\norigin = \"http://a\"\n";
    for (node, words) in [
        ("admin = \"0.0.0.0:9000\"", "others can reach this address: write admin_token = { file"),
        ("admin_token = \"secret\"", "a token does not stand in this file"),
        ("admin_token = { env = \"A\", file = \"b\" }", "a secret lies in one place"),
        ("admin = \"unix:\"", "a socket has a name"),
    ] {
        let file = SettingsFile::saying(&format!("[node]\n{node}\n{sites}"));
        let ran = nigh(&["check", file.argument()]);
        assert_eq!(ran.code, Some(1), "{node}");
        assert!(ran.stderr.contains(words), "{node}: {}", ran.stderr);
    }
    let token = SettingsFile::saying("short");
    let file = SettingsFile::saying(&format!(
        "[node]\nadmin = \"127.0.0.1:0\"\nadmin_token = {{ file = \"{}\" }}\n\
         listen = \"127.0.0.1:0\"\n{sites}",
        token.argument()
    ));
    let ran = nigh(&["run", file.argument()]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("a token has 16 to 4096 letters"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("short"), "{}", ran.stderr);
}

#[test]
fn a_token_is_exchanged_by_a_reload_and_never_lost_by_one() {
    let origin = Origin::saying(ok("no-store", "x"));
    let (one, two) = (SettingsFile::saying(TOKEN), SettingsFile::saying("another-token-it-is"));
    let settings = |token: Option<&SettingsFile>| {
        let token =
            token.map(|file| format!("admin_token = {{ file = \"{}\" }}\n", file.argument()));
        SettingsFile::listening(&format!(
            "admin = \"127.0.0.1:0\"\n{}[[site]]\nhost = \"*\"\norigin = \"{}\"\n",
            token.unwrap_or_default(),
            origin.url()
        ))
    };
    let file = SettingsFile::saying(&settings(Some(&one)));
    let edge = Edge::of(&file);
    let status = |token: &str| {
        let lines = format!("Authorization: Bearer {token}\r\n");
        edge.tell_admin("GET", "/healthz", &lines, "").status()
    };
    assert_eq!((status(TOKEN), status("another-token-it-is")), (200, 401));
    file.rewrite(&settings(Some(&two)));
    edge.hang_up();
    edge.line("the sites are new");
    assert_eq!((status(TOKEN), status("another-token-it-is")), (401, 200));
    file.rewrite(&settings(None));
    edge.hang_up();
    edge.line("the sites are new");
    assert_eq!((status(""), status("another-token-it-is")), (401, 200));
}

#[test]
fn a_socket_is_for_its_owner_goes_with_the_edge_and_is_replaced_when_nobody_answers_there() {
    let origin = Origin::saying(ok("max-age=100", "x"));
    let directory = Directory::new("admin-socket");
    fs::create_dir_all(&directory.0).unwrap();
    let path = directory.0.join("nigh.sock");
    let admin = format!("unix:{}", path.display());
    let edge = Edge::start(&origin, &["--admin", &admin]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = nigh(&["status", "--admin", &admin]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Any name will do: no page in a browser can come here.
    let mut wire = Wire::over(UnixStream::connect(&path).unwrap());
    wire.send("GET /healthz HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n");
    assert_eq!(wire.response().status(), 200);
    let second = nigh(&["edge", "--to", "http://a", "--listen", "127.0.0.1:0", "--admin", &admin]);
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("somebody answers there"), "{}", second.stderr);
    // Killed, it leaves its file behind.
    drop(edge);
    assert!(path.exists());
    let mut edge = Edge::start(&origin, &["--admin", &admin]);
    assert_eq!(nigh(&["status", "--admin", &admin]).code, Some(0));
    edge.terminate();
    assert!(edge.ended().success());
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0, "its file went with it");
    fs::write(&path, "a file").unwrap();
    let refused = nigh(&["edge", "--to", "http://a", "--listen", "127.0.0.1:0", "--admin", &admin]);
    assert!(refused.stderr.contains("that is no socket"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a file");
}
