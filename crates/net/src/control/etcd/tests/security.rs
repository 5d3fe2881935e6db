//! TLS on both sides.

use std::{fs, io, path::Path, sync::Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use super::{
    super::{ReadTls, Shown, Tls},
    *,
};

/// The files of an etcd.
const AUTHORITY: &str = "authority.pem";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// A certificate under an authority, and its key, as PEM.
struct Identity {
    certificate: String,
    key: String,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap()
}

fn identity(authority: &CertifiedIssuer<'static, KeyPair>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut subject = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    subject.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = subject.signed_by(&key, authority).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn secure_server(authority: &CertifiedIssuer<'static, KeyPair>) -> Server {
    let mut server = Server::prepare("https");
    server.argue(&["--client-cert-auth"]);
    for (flag, name) in
        [("--trusted-ca-file", AUTHORITY), ("--cert-file", CERTIFICATE), ("--key-file", KEY)]
    {
        let path = server.folder.join(name);
        server.argue(&[flag, Path::to_str(&path).unwrap()]);
    }
    certify(&server, authority);
    server.resume();
    server
}

/// Has it believe this authority alone when it starts, and show a certificate under it.
fn certify(server: &Server, authority: &CertifiedIssuer<'static, KeyPair>) {
    let theirs = identity(authority);
    for (name, text) in
        [(AUTHORITY, authority.pem()), (CERTIFICATE, theirs.certificate), (KEY, theirs.key)]
    {
        fs::write(server.folder.join(name), text).unwrap();
    }
}

fn tls(authority: Option<&CertifiedIssuer<'static, KeyPair>>, ours: Option<Identity>) -> Tls {
    let shown = |ours: Identity| Shown {
        certificate: ours.certificate.into_bytes(),
        key: ours.key.into_bytes(),
    };
    Tls {
        authority: authority.map(|authority| authority.pem().into_bytes()),
        shown: ours.map(shown),
    }
}

/// One that speaks TLS, and believes this authority, or those of the machine.
async fn engine_as(
    server: &Server,
    authority: Option<&CertifiedIssuer<'static, KeyPair>>,
    ours: Option<Identity>,
) -> Result<Etcd, SettingsError> {
    let tls = tls(authority, ours);
    engine_reading(server, move || tls.clone()).await
}

/// One that finds this when it reads how TLS is spoken.
async fn engine_reading(
    server: &Server,
    read: impl Fn() -> Tls + Send + Sync + 'static,
) -> Result<Etcd, SettingsError> {
    let endpoints = vec![server.url().replace("http:", "https:")];
    let namespace = Prefix::new("nigh/test/").unwrap();
    let tls = Some(ReadTls::new(move || Ok::<_, io::Error>(read())));
    Etcd::new(Settings { endpoints, namespace, tls }).await
}

/// Why it cannot be asked.
async fn refused(etcd: Result<Etcd, SettingsError>) -> String {
    let error = etcd.unwrap().list(&Prefix::ALL).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let mut said = String::new();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = next {
        said += &format!("{error}: ");
        next = error.source();
    }
    said
}

#[test]
fn an_etcd_is_asked_over_tls_by_those_whom_it_knows_and_who_know_it() {
    in_time(async {
        let stranger = authority();
        let authority = authority();
        let server = secure_server(&authority);
        let etcd = engine_as(&server, Some(&authority), Some(identity(&authority))).await.unwrap();
        ready(&etcd).await;
        let revision = etcd.commit(put("a", "secret")).await.unwrap();
        assert_eq!(etcd.list(&Prefix::ALL).await.unwrap().revision, revision);

        let ours = || Some(identity(&authority));
        let (plain, this) = (Server::start(), Some(&authority));
        let asked = [
            (engine_as(&server, this, Some(identity(&stranger))).await, "does not take our"),
            (engine_as(&server, this, None).await, "asks for a certificate of ours"),
            (engine_as(&server, Some(&stranger), ours()).await, "under none of the authorities"),
            (engine_as(&server, None, ours()).await, "under none of the authorities"),
            (engine_as(&plain, this, ours()).await, "does not speak TLS"),
        ]
        // Each of them tries for as long as a request may take.
        .map(|(etcd, why)| (tokio::spawn(refused(etcd)), why));
        for (said, why) in asked {
            let said = said.await.unwrap();
            assert!(said.contains(why), "{said}");
        }
        let mut gone = server;
        gone.stop();
        let said = refused(engine_as(&gone, this, ours()).await).await;
        assert!(said.contains("cannot connect to 127.0.0.1:"), "{said}");
    });
}

#[test]
fn certificates_and_keys_that_cannot_be_used_are_refused_at_once() {
    in_time(async {
        let authority = authority();
        let server = Server::prepare("https");
        let (one, other) = (identity(&authority), identity(&authority));
        let mixed = Identity { certificate: one.certificate, key: other.key };
        let mixed = engine_as(&server, Some(&authority), Some(mixed)).await;
        assert!(matches!(mixed, Err(SettingsError::Shown(_))), "{mixed:?}");
        let nobody = || Tls { authority: Some(b"nobody".to_vec()), shown: None };
        let nobody = engine_reading(&server, nobody).await;
        assert!(matches!(nobody, Err(SettingsError::Authority(_))), "{nobody:?}");
    });
}

#[test]
fn certificates_are_read_again_when_those_before_count_no_more() {
    in_time(async {
        let (before, after) = (authority(), authority());
        let mut server = secure_server(&before);
        let found = Arc::new(Mutex::new(tls(Some(&before), Some(identity(&before)))));
        let read = Arc::clone(&found);
        let etcd = engine_reading(&server, move || read.lock().unwrap().clone()).await.unwrap();
        ready(&etcd).await;
        let seen = etcd.commit(put("a", "before")).await.unwrap();
        let mut watch = etcd.watch(&Prefix::ALL, seen).await.unwrap();

        server.stop();
        certify(&server, &after);
        server.resume();
        assert!(etcd.list(&Prefix::ALL).await.is_err(), "nobody has renewed them");
        *found.lock().unwrap() = tls(Some(&after), Some(identity(&after)));
        ready(&etcd).await;
        let revision = etcd.commit(put("a", "after")).await.unwrap();
        let commit = loop {
            match watch.next().await {
                Ok(commit) => break commit,
                Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error:?}"),
            }
        };
        assert_eq!(commit.revision, revision);
    });
}
