//! What an edge answers over HTTP whose control state goes in the middle of a purge or of new settings:
//! nobody is told that nothing has happened where something may have.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use nigh_cluster::{control::Control, forgetting::purges, sharing::settings_key};
use nigh_net::{
    clock,
    cluster::{authority::Authority, credentials::Credentials, identity::JoinId},
    entropy::OsSecrets,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::Value;

use crate::{
    control_state::failing::{Failing, Fails},
    edge::{Agreed, Edge, Opened, Stores},
    forget,
    handover::Given,
    settings, shared_settings,
};

/// An edge that has joined a cluster, with control state that fails so.
struct Fixture {
    control: Arc<Failing>,
    edge: Edge,
    admin: SocketAddr,
    folder: PathBuf,
}

impl Fixture {
    /// To be called within a runtime.
    fn start(name: &str, fails: Fails) -> Self {
        let folder = std::env::temp_dir().join(format!("nigh-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        join(&folder);
        let admin = free_address();
        let text = format!(
            "[node]\nname = \"eu-1\"\nlisten = \"http://127.0.0.1:0\"\nworkers = 1\n\
             admin = \"{admin}\"\n\
             [cluster.eu]\nedges = [\"eu-1={listen}\"]\nlisten = \"{listen}\"\ndir = \"{}\"\n\
             control = \"file:never-opened\"\n",
            folder.display(),
            listen = free_address()
        );
        let settings = settings::parse(&text, &folder).unwrap();
        let mut given = Given::default();
        let opened = Opened::new(&settings, &mut given).unwrap();
        let stores = Stores::take_over(&settings, given).unwrap();
        let control = Arc::new(Failing::new(fails));
        let state = Arc::clone(&control).state(settings.cluster.as_ref().unwrap());
        let agreed = Agreed { state: Some(state), ..Agreed::default() };
        let edge = Edge::start(settings, None, opened, stores, agreed).unwrap();
        forget::start(&edge.running);
        shared_settings::start(&edge.running);
        edge.serve_admin().unwrap();
        Self { control, edge, admin, folder }
    }

    /// The status of the answer, and what it says.
    async fn ask(&self, head: &str, content: &'static str) -> (u16, String) {
        let (address, length) = (self.admin, content.len());
        let request = format!(
            "{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/toml\r\nContent-Length: {length}\r\n\r\n{content}"
        );
        let asking = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let answer = tokio::task::spawn_blocking(asking).await.unwrap();
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("application/problem+json"), "{answer}");
        let problem: Value = serde_json::from_str(content).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, problem["detail"].as_str().unwrap().to_owned())
    }

    async fn purge(&self) -> (u16, String) {
        self.ask("POST /v1/purge?all=true", "").await
    }

    async fn apply(&self) -> (u16, String) {
        self.ask("PUT /v1/settings", "[[site]]\nhost = \"*\"\norigin = \"http://127.0.0.1:9\"\n")
            .await
    }

    /// How many purges were committed, and whether settings were.
    async fn committed(&self) -> (usize, bool) {
        let purges = self.control.0.list(&purges()).await.unwrap().entries.len();
        (purges, self.control.0.get(&settings_key()).await.unwrap().is_some())
    }

    fn end(self) {
        self.edge.cut();
        fs::remove_dir_all(self.folder).unwrap();
    }
}

/// Leaves in a folder what an edge has that has joined.
fn join(folder: &Path) {
    let mut secrets = OsSecrets::new();
    let authority = Authority::create("eu".parse().unwrap(), clock::now(), &mut secrets).unwrap();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let (name, join) = ("eu-1".parse().unwrap(), JoinId::draw(&mut secrets));
    let leaf = authority.issue(&name, &request, join, clock::now(), &mut secrets).unwrap();
    let whole = (authority.cluster(), authority.certificate().clone());
    let shown = Credentials::new(whole.0, key, leaf, whole.1).unwrap();
    fs::write(folder.join("authority.pem"), authority.certificate_pem()).unwrap();
    fs::write(folder.join("edge.pem"), shown.to_pem()).unwrap();
}

/// An address that nobody has at the moment.
fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn where_the_answer_to_a_commit_is_lost_it_is_said_that_it_may_have_been_made() {
    let fixture = Fixture::start("answer-lost", Fails::Answers);
    let (status, said) = fixture.purge().await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("it is not known whether anything is purged"), "{said}");
    let (status, said) = fixture.apply().await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("it is not known whether the settings were applied"), "{said}");
    assert_eq!(fixture.committed().await, (1, true), "as they were here");
    fixture.end();
}

#[tokio::test]
async fn where_control_state_could_not_even_be_asked_it_is_said_that_nothing_is_purged() {
    let fixture = Fixture::start("nothing-asked", Fails::All);
    let (status, said) = fixture.purge().await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("nothing is purged on any edge"), "{said}");
    assert_eq!(fixture.committed().await, (0, false));
    fixture.end();
}
