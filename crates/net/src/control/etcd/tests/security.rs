//! TLS on both sides.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use super::{super::Tls, *};

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
    let theirs = identity(authority);
    let write = |name: &str, text: &str| {
        let path = server.folder.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = [
        ("--trusted-ca-file", write("authority.pem", &authority.pem())),
        ("--cert-file", write("certificate.pem", &theirs.certificate)),
        ("--key-file", write("key.pem", &theirs.key)),
    ];
    server.argue(&["--client-cert-auth"]);
    for (flag, path) in &files {
        server.argue(&[flag, Path::to_str(path).unwrap()]);
    }
    server.resume();
    server
}

async fn engine_as(
    server: &Server,
    authority: &CertifiedIssuer<'static, KeyPair>,
    ours: Identity,
) -> Etcd {
    let tls = Tls {
        authority: authority.pem().into_bytes(),
        certificate: ours.certificate.into_bytes(),
        key: ours.key.into_bytes(),
    };
    let namespace = Prefix::new("nigh/test/").unwrap();
    Etcd::new(Settings { endpoints: vec![server.url()], namespace, tls: Some(tls) }).await.unwrap()
}

#[test]
fn an_etcd_is_asked_over_tls_by_those_whom_it_knows_and_who_know_it() {
    in_time(async {
        let stranger = authority();
        let authority = authority();
        let server = secure_server(&authority);
        let etcd = engine_as(&server, &authority, identity(&authority)).await;
        ready(&etcd).await;
        let revision = etcd.commit(put("a", "secret")).await.unwrap();
        assert_eq!(etcd.list(&Prefix::ALL).await.unwrap().revision, revision);

        let unknown = engine_as(&server, &authority, identity(&stranger)).await;
        assert!(unknown.list(&Prefix::ALL).await.is_err(), "its certificate is a stranger's");
        let misled = engine_as(&server, &stranger, identity(&authority)).await;
        assert!(misled.list(&Prefix::ALL).await.is_err(), "the etcd's is a stranger's");
    });
}
