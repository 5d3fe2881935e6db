//! A cluster from the command line: made, joined, renewed, revoked.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::support::{
    directory::Directory,
    process::{Ran, nigh},
};

/// An authority that answers.
struct Authority {
    folder: Directory,
    address: String,
    serving: Child,
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(self.serving.kill());
        drop(self.serving.wait());
    }
}

impl Authority {
    fn start(name: &str) -> Self {
        let folder = Directory::new(name);
        let dir = format!("{}/authority", folder.argument());
        // Any free port: it is written into the file of addresses once it is known.
        json(&["init", "--name", "eu", "--dir", &dir]);
        let mut serving = Command::new(env!("CARGO_BIN_EXE_nigh"))
            .args(["cluster", "serve", "--listen", "127.0.0.1:0", "--json", "--dir", &dir])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(serving.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["address"].as_str().unwrap().to_owned();
        fs::write(format!("{dir}/addresses"), format!("{address}\n")).unwrap();
        Self { folder, address, serving }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.argument())
    }

    fn token(&self) -> String {
        let made = json(&["token", "--dir", &self.path("authority")]);
        made["token"].as_str().unwrap().to_owned()
    }
}

fn cluster(arguments: &[&str]) -> Ran {
    nigh(&[&["cluster"], arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    let ran = cluster(&[arguments, &["--json"]].concat());
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn fails(arguments: &[&str], words: &str) {
    let ran = cluster(arguments);
    assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
    assert!(ran.stderr.contains(words), "{arguments:?}: {words:?} is not in {}", ran.stderr);
}

#[test]
fn an_edge_joins_renews_and_is_put_out() {
    let authority = Authority::start("cluster-joins");
    let (token, dir) = (authority.token(), authority.path("edge"));
    let joined = json(&["join", &token, "--name", "eu-1", "--dir", &dir]);
    assert_eq!((&joined["cluster"], &joined["edge"]), (&"eu".into(), &"eu-1".into()));
    let pem = fs::read_to_string(format!("{dir}/edge.pem")).unwrap();
    let mode = fs::metadata(format!("{dir}/edge.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let renewed = json(&["renew", "--dir", &dir]);
    assert_eq!(renewed["edge"], "eu-1");
    assert_ne!(renewed["serial"], joined["serial"]);
    assert_ne!(fs::read_to_string(format!("{dir}/edge.pem")).unwrap(), pem);
    // The token was used, and this machine has joined.
    let other = authority.path("other");
    fails(&["join", &token, "--name", "eu-2", "--dir", &other], "was used already");
    assert!(!fs::exists(&other).unwrap(), "who did not join leaves nothing behind");
    fails(&["join", &authority.token(), "--dir", &dir], "has joined");
    json(&["revoke", "eu-1", "--dir", &authority.path("authority")]);
    fails(&["renew", "--dir", &dir], "does not belong to the cluster any more");
    fails(&["revoke", "eu-1", "--dir", &authority.path("authority")], "no edge called eu-1");
}

#[test]
fn what_stands_in_the_way_is_said_with_what_to_do() {
    let authority = Authority::start("cluster-mistakes");
    let (dir, new) = (authority.path("authority"), authority.path("new"));
    fails(&["init", "--dir", &dir], "has an authority already");
    fails(&["token", "--dir", &new], "`nigh cluster init` makes one");
    fails(&["renew", "--dir", &new], "join with `nigh cluster join TOKEN`");
    fails(&["join", "nigh1-AAAA", "--name", "x", "--dir", &new], "copy it once more");
    fails(&["join", "secret", "--name", "x", "--dir", &new], "begins with nigh1-");
    let token = authority.token();
    fails(&["join", &token, "--name", "authority", "--dir", &new], "choose another with --name");
    assert!(!fs::exists(&new).unwrap(), "who did not join leaves nothing behind");
    assert!(!authority.address.is_empty());
    for (arguments, words) in [
        (&["init", "--name", "EU"][..], "lower-case letters"),
        (&["init", "--address", "host"], "HOST:PORT"),
        (&["token", "--expires", "8d"], "7d at most"),
        (&["join"], "<TOKEN>"),
        (&[], "Usage: nigh cluster"),
    ] {
        let ran = cluster(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {words:?} is not in {}", ran.stderr);
    }
}

#[test]
fn a_directory_that_others_may_write_into_is_refused_and_one_that_they_may_read_is_told() {
    let authority = Authority::start("cluster-modes");
    let dir = authority.path("shared");
    fs::create_dir(&dir).unwrap();
    let mode = |mode| fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o775);
    let token = authority.token();
    fails(&["join", &token, "--name", "eu-1", "--dir", &dir], "others may write into");
    fails(&["init", "--dir", &dir], "others may write into");
    mode(0o755);
    let joined = cluster(&["join", &token, "--name", "eu-1", "--dir", &dir]);
    assert_eq!(joined.code, Some(0), "the token was not used up: {joined:?}");
    assert!(joined.stderr.contains("warning: others may look into"), "{joined:?}");
}

#[test]
fn an_authority_whose_control_state_is_not_there_is_made_and_it_is_said_how_to_go_on() {
    if !cfg!(feature = "etcd") {
        return;
    }
    let folder = Directory::new("cluster-unreached");
    let dir = format!("{}/authority", folder.argument());
    // Nobody listens there.
    let made = cluster(&["init", "--dir", &dir, "--control", "etcd://127.0.0.1:9"]);
    assert_eq!(made.code, Some(1), "{made:?}");
    let goes_on = format!("`nigh cluster token --dir {dir}` makes one");
    assert!(made.stderr.contains(&goes_on), "{made:?}");
    // It is the same authority that the next token is of.
    fails(&["token", "--dir", &dir], "cannot keep the token");
}
