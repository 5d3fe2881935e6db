//! Who gets through a handshake: asked of TLS itself, in memory, with the time that a test sets.

use std::{sync::Arc, time::Duration};

use nigh_base::Wall;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
};

use crate::{
    cluster::{
        authority::{Authority, LIFETIME},
        credentials::{Credentials, Shown},
        identity::JoinId,
        testing::{SetClock, authority, edge, name},
        tls::{self, Distrust, REVOKED_MAX, Revoked, Trust},
    },
    entropy::OsSecrets,
};

const ALPN: &[&[u8]] = &[b"h2"];

/// An edge that others connect to and that connects itself.
struct Edge {
    trust: Arc<Trust>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Edge {
    fn new(credentials: &Credentials, clock: &SetClock) -> Self {
        let trust = Trust::of(credentials, clock.clock()).unwrap();
        let shown = Shown::new(credentials);
        let server = Arc::new(tls::server(std::slice::from_ref(&trust), &shown, ALPN));
        let client = Arc::new(tls::client(&trust, &shown, ALPN));
        Self { trust, server, client }
    }
}

/// A whole handshake: what each side makes of the other.
fn shake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    domain: &str,
) -> Result<ServerConnection, rustls::Error> {
    let domain = ServerName::try_from(domain.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), domain).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets()?;
    }
    Ok(server)
}

const ONE: &str = "eu-1.eu.nigh.internal";

fn setting() -> (SetClock, Authority) {
    let clock = SetClock::new();
    let authority = authority(clock.now());
    (clock, authority)
}

#[test]
fn an_authority_vouches_for_edges_of_its_own_cluster_alone() {
    let (clock, of_eu) = setting();
    let create = |cluster: &str| {
        Authority::create(name(cluster), clock.now(), &mut OsSecrets::new()).unwrap()
    };
    let (of_us, forger) = (create("us"), create("eu"));
    let server = |second: &Authority| {
        let trust = |cluster: &str, authority: &Authority| {
            Trust::new(name(cluster), authority.certificate().clone(), clock.clock()).unwrap()
        };
        let shown = Shown::new(&edge(&of_eu, "eu-1", clock.now()));
        Arc::new(tls::server(&[trust("eu", &of_eu), trust("us", second)], &shown, ALPN))
    };
    let client = |authority: &Authority, edge_name: &str| {
        let credentials = edge(authority, edge_name, clock.now());
        let trust = Trust::new(name("eu"), of_eu.certificate().clone(), clock.clock()).unwrap();
        Arc::new(tls::client(&trust, &Shown::new(&credentials), ALPN))
    };
    assert!(shake(&client(&of_eu, "eu-2"), &server(&of_us), ONE).is_ok());
    assert!(shake(&client(&of_us, "us-1"), &server(&of_us), ONE).is_ok());
    // It is believed for `us`, and signs for an edge of `eu`.
    assert!(shake(&client(&forger, "eu-2"), &server(&forger), ONE).is_err());
}

#[test]
fn two_edges_know_each_other_by_certificate() {
    let (clock, authority) = setting();
    let one = Edge::new(&edge(&authority, "eu-1", clock.now()), &clock);
    let two = Edge::new(&edge(&authority, "eu-2", clock.now()), &clock);
    let connection = shake(&two.client, &one.server, ONE).unwrap();
    let peer = one.trust.peer(connection.peer_certificates().unwrap()).unwrap();
    assert_eq!(peer.name, name("eu-2"));
    assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert!(shake(&two.client, &one.server, "eu-3.eu.nigh.internal").is_err());
}

#[test]
fn a_stranger_gets_nothing() {
    let (clock, authority) = setting();
    let one = Edge::new(&edge(&authority, "eu-1", clock.now()), &clock);
    // Without a certificate, although it knows the authority.
    let nobody = Arc::new(tls::join_client(&name("eu"), authority.fingerprint(), clock.clock()));
    assert!(shake(&nobody, &one.server, ONE).is_err());
    // Of an authority that has the same name.
    let of_other = Edge::new(&edge(&self::authority(clock.now()), "eu-2", clock.now()), &clock);
    assert!(shake(&of_other.client, &one.server, ONE).is_err());
    let trusting = |chain, key| {
        let mut client = ClientConfig::clone(&one.client);
        let key = PrivatePkcs8KeyDer::from(KeyPair::serialize_der(key)).into();
        let certified = rustls::sign::CertifiedKey::from_der(
            chain,
            key,
            &rustls::crypto::aws_lc_rs::default_provider(),
        );
        let resolver = rustls::sign::SingleCertAndKey::from(certified.unwrap());
        client.client_auth_cert_resolver = Arc::new(resolver);
        Arc::new(client)
    };
    // Self-signed, with all the right names; alone, and with the authority's certificate beside it.
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(["eu-2.eu.nigh.internal".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own: CertificateDer<'static> = params.self_signed(&key).unwrap().into();
    for chain in [vec![own.clone()], vec![own, authority.certificate().clone()]] {
        assert!(shake(&trusting(chain, &key), &one.server, ONE).is_err());
    }
    // Signed by an edge, as if that were an authority.
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "eu-1");
    let mut edges = CertificateParams::default();
    edges.distinguished_name = subject;
    let edges_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let (made, leaf) = (edge_with(&authority, &edges_key, clock.now()), &key);
    let signed = params.signed_by(leaf, &Issuer::new(edges, &edges_key)).unwrap().into();
    let chain = vec![signed, made, authority.certificate().clone()];
    assert!(shake(&trusting(chain, &key), &one.server, ONE).is_err());
}

/// The certificate of an edge whose key the test keeps.
fn edge_with(authority: &Authority, key: &KeyPair, now: Wall) -> CertificateDer<'static> {
    let request = CertificateParams::default().serialize_request(key).unwrap().pem().unwrap();
    let mut secrets = OsSecrets::new();
    let join = JoinId::draw(&mut secrets);
    authority.issue(&name("eu-1"), &request, join, now, &mut secrets).unwrap()
}

#[test]
fn an_edge_does_not_talk_to_a_stranger_either() {
    let (clock, authority) = setting();
    let one = Edge::new(&edge(&authority, "eu-1", clock.now()), &clock);
    let other = Edge::new(&edge(&self::authority(clock.now()), "eu-2", clock.now()), &clock);
    assert!(shake(&one.client, &other.server, "eu-2.eu.nigh.internal").is_err());
}

#[test]
fn a_revoked_edge_gets_nothing_on_either_side_and_is_known_for_it() {
    let (clock, authority) = setting();
    let credentials = edge(&authority, "eu-2", clock.now());
    let one = Edge::new(&edge(&authority, "eu-1", clock.now()), &clock);
    let two = Edge::new(&credentials, &clock);
    let connection = shake(&two.client, &one.server, ONE).unwrap();
    let peer = one.trust.peer(connection.peer_certificates().unwrap()).unwrap();
    let changes = one.trust.changes();
    assert_eq!(one.trust.revoke(&revoked(&credentials)), 1);
    assert!(changes.has_changed().unwrap());
    assert_eq!(one.trust.judge(&peer), Err(Distrust::Revoked));
    assert!(shake(&two.client, &one.server, ONE).is_err());
    assert!(shake(&one.client, &two.server, "eu-2.eu.nigh.internal").is_err());
    // Whoever tells of revocations has lost this one.
    let mut changes = one.trust.changes();
    changes.mark_unchanged();
    assert_eq!(one.trust.revoke(&Revoked::new()), 0);
    assert_eq!(one.trust.revoke(&revoked(&credentials)), 0);
    assert!(!changes.has_changed().unwrap(), "connections that exist are judged already");
    assert!(shake(&two.client, &one.server, ONE).is_err());
}

fn revoked(credentials: &Credentials) -> Revoked {
    let identity = credentials.identity();
    [(identity.serial.join(), identity.ends)].into()
}

#[test]
fn revocations_are_bounded_by_their_number_and_by_the_ends_of_certificates() {
    let (clock, authority) = setting();
    let trust = Trust::of(&edge(&authority, "eu-1", clock.now()), clock.clock()).unwrap();
    let (mut secrets, count) = (OsSecrets::new(), REVOKED_MAX as u64);
    let mut some = |first: u64, count: u64| -> Revoked {
        let ends = (first..first + count).map(|secs| clock.now().after(Duration::from_secs(secs)));
        ends.map(|ends| (JoinId::draw(&mut secrets), ends)).collect()
    };
    let (early, late) = (some(1, 3), some(4, count - 1));
    assert_eq!(trust.revoke(&early), 3);
    assert_eq!(trust.revoke(&late), REVOKED_MAX - 1);
    let known = trust.changes().borrow().clone();
    assert_eq!(known.len(), REVOKED_MAX);
    assert!(late.keys().all(|join| known.contains_key(join)), "those go that end first");
    let next = some(count + 10, 1);
    clock.advance(Duration::from_secs(count + 5));
    assert_eq!(trust.revoke(&early), 0, "what has ended counts for nothing anyway");
    assert_eq!(trust.revoke(&next), 1);
    assert_eq!(*trust.changes().borrow(), next);
}

#[test]
fn a_certificate_that_has_ended_gets_nothing() {
    let (clock, authority) = setting();
    let two = Edge::new(&edge(&authority, "eu-2", clock.now()), &clock);
    clock.advance(LIFETIME + Duration::from_secs(1));
    let one = Edge::new(&edge(&authority, "eu-1", clock.now()), &clock);
    assert!(shake(&two.client, &one.server, ONE).is_err());
    assert!(shake(&one.client, &two.server, "eu-2.eu.nigh.internal").is_err());
}

#[test]
fn what_is_shown_is_exchanged_without_new_configurations() {
    let (clock, authority) = setting();
    let credentials = edge(&authority, "eu-1", clock.now());
    let trust = Trust::of(&credentials, clock.clock()).unwrap();
    let shown = Shown::new(&credentials);
    let server = Arc::new(tls::server(std::slice::from_ref(&trust), &shown, ALPN));
    clock.advance(LIFETIME + Duration::from_secs(1));
    let two = Edge::new(&edge(&authority, "eu-2", clock.now()), &clock);
    assert!(shake(&two.client, &server, ONE).is_err());
    shown.exchange(&edge(&authority, "eu-1", clock.now()));
    assert!(shake(&two.client, &server, ONE).is_ok());
}

#[test]
fn who_joins_believes_the_one_authority_under_its_own_name_alone() {
    let (clock, authority) = setting();
    let own = authority.own_credentials(clock.now(), &mut OsSecrets::new()).unwrap();
    let trust = Trust::of(&own, clock.clock()).unwrap();
    let server = Arc::new(tls::join_server(&trust, &Shown::new(&own)));
    let domain = "authority.eu.nigh.internal";
    let joiner = |cluster, fingerprint| {
        Arc::new(tls::join_client(&name(cluster), fingerprint, clock.clock()))
    };
    let right = joiner("eu", authority.fingerprint());
    let connection = shake(&right, &server, domain).unwrap();
    assert!(connection.peer_certificates().is_none());
    let other = self::authority(clock.now()).fingerprint();
    assert!(shake(&joiner("eu", other), &server, domain).is_err());
    assert!(shake(&joiner("us", authority.fingerprint()), &server, domain).is_err());
    // An edge of the cluster, which would like to be shown tokens.
    let member = edge(&authority, "eu-1", clock.now());
    let posing = Arc::new(tls::join_server(&trust, &Shown::new(&member)));
    assert!(shake(&right, &posing, domain).is_err());
}

#[tokio::test(start_paused = true)]
async fn who_was_revoked_is_lost_at_once_and_who_was_not_when_its_certificate_ends() {
    let clock = SetClock::new();
    let authority = authority(clock.now());
    let [a, b] = ["a", "b"].map(|edge_name| edge(&authority, edge_name, clock.now()));
    let trust = Trust::of(&a, clock.clock()).unwrap();
    let (lost_a, lost_b) = (trust.lost(a.identity()), trust.lost(b.identity()));
    tokio::pin!(lost_a, lost_b);
    assert!(is_awaited(&mut lost_a).await && is_awaited(&mut lost_b).await);
    trust.revoke(&revoked(&b));
    let began = tokio::time::Instant::now();
    lost_b.await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    lost_a.await;
    // Certificates count whole seconds.
    assert!(began.elapsed() > LIFETIME - Duration::from_secs(1));
}

/// Whether something that is waited for has not come yet.
async fn is_awaited(waited: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    tokio::select! {
        biased;
        () = waited => false,
        () = std::future::ready(()) => true,
    }
}
