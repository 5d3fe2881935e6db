//! Joining and renewing, over TCP on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use nigh_base::Wall;
use tokio::net::TcpListener;

use crate::{
    cluster::{
        authority::{Authority, LEEWAY, LIFETIME},
        credentials::Credentials,
        join::{JoinError, JoinServer, join, renew},
        registry::{Files, Member, Refusal, Registry, TOKENS_MAX},
        testing::{Folder, SetClock, authority, edge, name},
        tls::Trust,
        token::{self, JoinAddress, Token},
    },
    entropy::OsSecrets,
};

/// A cluster that can be joined.
struct Cluster {
    clock: SetClock,
    authority: Authority,
    files: Files,
    address: SocketAddr,
    _folder: Folder,
}

impl Cluster {
    async fn start() -> Self {
        let (clock, folder) = (SetClock::new(), Folder::new("join"));
        let authority = authority(clock.now());
        let files = Files::open(folder.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served =
            Authority::from_pem(&authority.certificate_pem(), &authority.key_pem()).unwrap();
        let server = JoinServer::new(served, files.clone(), clock.clock()).unwrap();
        tokio::spawn(server.serve(listener));
        Self { clock, authority, files, address, _folder: folder }
    }

    fn addresses(&self) -> Vec<JoinAddress> {
        vec![self.address.to_string().parse().unwrap()]
    }

    fn token(&self) -> Token {
        let token = self.token_unknown();
        self.files.add_token(token.id, &token.kept(), self.clock.now()).unwrap();
        token
    }

    /// One that the authority was not told of.
    fn token_unknown(&self) -> Token {
        let expires = self.clock.now().after(token::LIFETIME);
        let fingerprint = self.authority.fingerprint();
        let (cluster, addresses) = (name("eu"), self.addresses());
        Token::draw(cluster, addresses, fingerprint, expires, &mut OsSecrets::new()).unwrap()
    }

    async fn join(&self, token: &Token, edge: &str) -> Result<Credentials, JoinError> {
        join(token, &name(edge), &self.clock.clock()).await
    }

    async fn renew(&self, credentials: &Credentials) -> Result<Credentials, JoinError> {
        renew(credentials, &self.addresses(), &self.clock.clock()).await
    }

    fn members(&self) -> Vec<Member> {
        self.files.members(self.clock.now()).unwrap()
    }
}

/// What the authority said when it refused.
fn refused<T: std::fmt::Debug>(result: Result<T, JoinError>) -> String {
    match result {
        Err(JoinError::Refused { said }) => said,
        other => panic!("that is no refusal: {other:?}"),
    }
}

#[tokio::test]
async fn who_has_a_token_gets_a_certificate_of_the_cluster() {
    let cluster = Cluster::start().await;
    let got = cluster.join(&cluster.token(), "eu-1").await.unwrap();
    assert_eq!(got.identity().name, name("eu-1"));
    assert_eq!(got.fingerprint(), cluster.authority.fingerprint());
    assert_eq!(
        cluster.members(),
        [Member {
            name: name("eu-1"),
            join: got.identity().serial.join(),
            ends: got.identity().ends
        }]
    );
    let read = Credentials::from_pem(&got.to_pem()).unwrap();
    assert_eq!(read.identity(), got.identity());
}

#[tokio::test]
async fn a_token_is_good_once() {
    let cluster = Cluster::start().await;
    let token = cluster.token();
    cluster.join(&token, "eu-1").await.unwrap();
    assert!(refused(cluster.join(&token, "eu-2").await).contains("was used already"));
    assert_eq!(cluster.members().len(), 1);
}

#[tokio::test]
async fn of_two_who_use_a_token_at_the_same_moment_one_gets_in() {
    let cluster = Cluster::start().await;
    for round in 0..8 {
        let token = cluster.token();
        let [a, b] = ["a", "b"].map(|letter| format!("{letter}-{round}"));
        let both = tokio::join!(cluster.join(&token, &a), cluster.join(&token, &b));
        let wins = [both.0, both.1].into_iter().filter_map(Result::ok).count();
        assert_eq!((wins, cluster.members().len()), (1, round + 1));
    }
}

#[test]
fn of_many_threads_that_take_a_token_one_gets_it() {
    let (folder, now) = (Folder::new("threads"), SetClock::new().now());
    let authority = authority(now);
    let files = Files::open(folder.path()).unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    for round in 0..16 {
        let addresses = vec!["a:1".parse().unwrap()];
        let expires = now.after(token::LIFETIME);
        let fingerprint = authority.fingerprint();
        let token = Token::draw(name("eu"), addresses, fingerprint, expires, &mut OsSecrets::new());
        let token = token.unwrap();
        files.add_token(token.id, &token.kept(), now).unwrap();
        let taken: usize = std::thread::scope(|scope| {
            let take = |thread| {
                let (token, files) = (&token, &files);
                let join = edge(&authority, "x", now).identity().serial.join();
                let name = name(&format!("e-{round}-{thread}"));
                scope.spawn(move || {
                    let member = Member { name, join, ends: now.after(LIFETIME) };
                    usize::from(runtime().block_on(files.admit(token, member, now)).is_ok())
                })
            };
            let threads: Vec<_> = (0..4).map(take).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1);
    }
}

#[tokio::test]
async fn a_token_that_has_expired_is_refused_whatever_it_says_itself() {
    let cluster = Cluster::start().await;
    let mut token = cluster.token();
    cluster.clock.advance(token::LIFETIME + Duration::from_secs(1));
    token.expires = cluster.clock.now().after(LIFETIME);
    assert!(refused(cluster.join(&token, "eu-1").await).contains("expired"));
    assert!(cluster.members().is_empty());
}

#[tokio::test]
async fn a_token_with_another_secret_is_refused_and_uses_nothing_up() {
    let cluster = Cluster::start().await;
    let good = cluster.token();
    let mut guessed = cluster.token_unknown();
    guessed.id = good.id;
    assert!(refused(cluster.join(&guessed, "eu-1").await).contains("not known here"));
    cluster.join(&good, "eu-1").await.unwrap();
}

#[tokio::test]
async fn a_token_of_another_cluster_is_shown_to_nobody() {
    let (eu, other) = (Cluster::start().await, Cluster::start().await);
    // Another authority, whatever its name: TLS ends before the token is sent.
    let mut stray = other.token();
    stray.addresses = eu.addresses();
    let error = eu.join(&stray, "eu-1").await.unwrap_err();
    assert!(matches!(error, JoinError::Untrusted { .. }), "{error:?}");
    let mut renamed = eu.token();
    renamed.cluster = name("us");
    assert!(matches!(eu.join(&renamed, "x").await, Err(JoinError::Untrusted { .. })));
    stray.addresses = other.addresses();
    other.join(&stray, "eu-1").await.unwrap();
}

#[tokio::test]
async fn the_next_address_is_asked_where_nobody_answers() {
    let cluster = Cluster::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody: JoinAddress = nobody.to_string().parse().unwrap();
    let mut token = cluster.token();
    token.addresses.insert(0, nobody.clone());
    cluster.join(&token, "eu-1").await.unwrap();
    token.addresses.truncate(1);
    let error = cluster.join(&token, "eu-2").await.unwrap_err();
    assert!(matches!(error, JoinError::Unreachable { address, .. } if address == nobody));
}

#[tokio::test]
async fn a_name_has_one_edge_until_its_certificate_ends() {
    let cluster = Cluster::start().await;
    cluster.join(&cluster.token(), "eu-1").await.unwrap();
    let token = cluster.token();
    assert!(refused(cluster.join(&token, "eu-1").await).contains("of this name belongs"));
    // The token was not used up by that.
    cluster.join(&token, "eu-2").await.unwrap();
    cluster.clock.advance(LIFETIME + Duration::from_secs(1));
    cluster.join(&cluster.token(), "eu-1").await.unwrap();
    let reserved = cluster.join(&cluster.token(), "authority").await;
    assert!(refused(reserved).contains("not the authority's name"));
}

#[tokio::test]
async fn a_certificate_is_renewed_while_it_is_good_and_stays_of_its_join() {
    let cluster = Cluster::start().await;
    let old = cluster.join(&cluster.token(), "eu-1").await.unwrap();
    let wait = old.identity().renewed_in(cluster.clock.now());
    assert!(wait < LIFETIME - LIFETIME / 4 && wait > LIFETIME / 2, "{wait:?}");
    cluster.clock.advance(wait);
    assert!(old.identity().is_to_renew(cluster.clock.now()));
    let new = cluster.renew(&old).await.unwrap();
    assert!(!new.identity().is_to_renew(cluster.clock.now()));
    assert_eq!(new.identity().name, old.identity().name);
    assert_eq!(new.identity().serial.join(), old.identity().serial.join());
    assert_ne!(new.identity().serial, old.identity().serial);
    assert_ne!(new.to_pem(), old.to_pem());
    assert_eq!(cluster.members()[0].ends, new.identity().ends);
    // An answer that is lost costs nothing: the old one is still good for the next try.
    cluster.renew(&old).await.unwrap();
    cluster.clock.advance(LIFETIME + LEEWAY);
    assert!(matches!(
        cluster.renew(&old).await,
        Err(JoinError::Untrusted { .. } | JoinError::BrokenOff { .. })
    ));
}

#[tokio::test]
async fn a_revoked_edge_is_not_renewed_and_neither_is_what_it_was_renewed_to() {
    let cluster = Cluster::start().await;
    let old = cluster.join(&cluster.token(), "eu-1").await.unwrap();
    let new = cluster.renew(&old).await.unwrap();
    let now = cluster.clock.now();
    assert!(cluster.files.revoke(&name("eu-1"), now).unwrap());
    for credentials in [&old, &new] {
        assert!(
            refused(cluster.renew(credentials).await).contains("belong to the cluster any more")
        );
    }
    let trust = Trust::of(&old, cluster.clock.clock()).unwrap();
    let out = cluster.files.revoked(now).unwrap().into_iter();
    trust.revoke(&out.map(|join| (join, now.after(LIFETIME))).collect());
    assert!(trust.judge(old.identity()).is_err() && trust.judge(new.identity()).is_err());
    // The name is free, and who gets it now is somebody else.
    let next = cluster.join(&cluster.token(), "eu-1").await.unwrap();
    assert!(trust.judge(next.identity()).is_ok());
    assert!(refused(cluster.renew(&new).await).contains("any more"));
    // What would have ended anyway is not remembered for ever.
    let later = now.after(3 * LIFETIME);
    assert!(cluster.files.revoked(later).unwrap().is_empty());
    assert!(!cluster.files.revoke(&name("eu-2"), now).unwrap());
}

#[tokio::test]
async fn who_shows_no_certificate_renews_nothing() {
    let cluster = Cluster::start().await;
    let stranger = edge(&authority(cluster.clock.now()), "eu-1", cluster.clock.now());
    let error = cluster.renew(&stranger).await.unwrap_err();
    assert!(matches!(error, JoinError::Untrusted { .. }), "{error:?}");
}

#[tokio::test]
async fn the_authority_renews_its_own_certificate() {
    let cluster = Cluster::start().await;
    for round in 0..4 {
        cluster.clock.advance(LIFETIME);
        cluster.join(&cluster.token(), &format!("eu-{round}")).await.unwrap();
    }
}

#[tokio::test]
async fn tokens_are_bounded_and_those_that_expired_make_room() {
    let cluster = Cluster::start().await;
    let add = || {
        let token = cluster.token_unknown();
        cluster.files.add_token(token.id, &token.kept(), cluster.clock.now())
    };
    (0..TOKENS_MAX).for_each(|_| add().unwrap());
    assert!(add().is_err());
    cluster.clock.advance(token::LIFETIME + Duration::from_secs(1));
    add().unwrap();
}

#[tokio::test]
async fn what_is_remembered_outlives_the_process() {
    let cluster = Cluster::start().await;
    let token = cluster.token();
    let again = Files::open(cluster._folder.path()).unwrap();
    let join = cluster.join(&token, "eu-1").await.unwrap().identity().serial.join();
    let now: Wall = cluster.clock.now();
    assert_eq!(again.members(now).unwrap()[0].join, join);
    let member = Member { name: name("eu-2"), join, ends: now };
    assert!(matches!(again.admit(&token, member, now).await, Err(Refusal::Token)));
    let _: &Arc<Trust> = JoinServer::new(
        Authority::from_pem(&cluster.authority.certificate_pem(), &cluster.authority.key_pem())
            .unwrap(),
        again,
        cluster.clock.clock(),
    )
    .unwrap()
    .trust();
}
