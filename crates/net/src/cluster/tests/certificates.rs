//! What the authority signs, and what it does not.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384,
};
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate, certification_request::X509CertificationRequest,
    extensions::GeneralName, prelude::FromDer,
};

use crate::{
    cluster::{
        authority::{AUTHORITY_LIFETIME, Authority, AuthorityError, LEEWAY, LIFETIME, REQUEST_MAX},
        credentials::{Credentials, CredentialsError},
        identity::{Identity, JoinId},
        testing::{SetClock, authority, edge, name},
        tls::{Distrust, Trust},
    },
    entropy::OsSecrets,
};

#[test]
fn an_authority_vouches_for_names_of_its_cluster_and_nothing_else() {
    let authority = authority(SetClock::new().now());
    let (_, certificate) = X509Certificate::from_der(authority.certificate()).unwrap();
    let constraints = certificate.name_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    let permitted = constraints.value.permitted_subtrees.as_ref().unwrap();
    assert_eq!(permitted.len(), 1);
    assert!(matches!(permitted[0].base, GeneralName::DNSName("eu.nigh.internal")));
    assert_eq!(constraints.value.excluded_subtrees.as_ref().unwrap().len(), 2);
    let basic = certificate.basic_constraints().unwrap().unwrap().value;
    assert_eq!((basic.ca, basic.path_len_constraint), (true, Some(0)));
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && !usage.digital_signature());
}

#[test]
fn an_authority_is_read_as_it_is_written_and_its_key_must_fit() {
    let now = SetClock::new().now();
    let (one, other) = (authority(now), authority(now));
    let read = Authority::from_pem(&one.certificate_pem(), &one.key_pem()).unwrap();
    assert_eq!((read.cluster(), read.fingerprint()), (one.cluster(), one.fingerprint()));
    let mixed = Authority::from_pem(&one.certificate_pem(), &other.key_pem());
    assert!(matches!(mixed, Err(AuthorityError::Mismatch)));
    let edge = edge(&one, "eu-1", now);
    let no_authority = Authority::from_pem(&edge.chain_pem(), &one.key_pem());
    assert!(matches!(no_authority, Err(AuthorityError::NotAuthority)));
    assert!(!format!("{one:?}").contains("PRIVATE"));
}

#[test]
fn a_request_that_asks_for_more_gets_only_its_own_name() {
    let now = SetClock::new().now();
    let authority = authority(now);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let wanted = ["eu-2.eu.nigh.internal", "example.com", "192.0.2.1"].map(str::to_owned);
    let mut params = CertificateParams::new(wanted).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    let mut secrets = OsSecrets::new();
    let join = JoinId::draw(&mut secrets);
    let leaf = authority.issue(&name("eu-1"), &request, join, now, &mut secrets).unwrap();
    let identity = Identity::read(&leaf, authority.cluster()).unwrap();
    assert_eq!((identity.name.as_str(), identity.serial.join()), ("eu-1", join));
    let (_, certificate) = X509Certificate::from_der(&leaf).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    let [GeneralName::DNSName(domain)] = names.value.general_names[..] else { panic!("{names:?}") };
    assert_eq!(domain, "eu-1.eu.nigh.internal");
    assert!(!certificate.is_ca());
    let uses = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(uses.server_auth && uses.client_auth && !uses.any);
}

#[test]
fn what_is_no_request_is_refused_and_so_are_other_keys() {
    let now = SetClock::new().now();
    let authority = authority(now);
    let issue = |request: &str| {
        let mut secrets = OsSecrets::new();
        let join = JoinId::draw(&mut secrets);
        authority.issue(&name("eu-1"), request, join, now, &mut secrets).map(drop)
    };
    let request = |algorithm| {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::default().serialize_request(&key).unwrap()
    };
    let good = request(&PKCS_ECDSA_P256_SHA256);
    issue(&good.pem().unwrap()).unwrap();
    let other_key = issue(&request(&PKCS_ECDSA_P384_SHA384).pem().unwrap());
    assert!(matches!(other_key, Err(AuthorityError::Key)), "{other_key:?}");
    // Of what is signed each byte counts: nothing is given that the key's owner has not asked for.
    let (_, read) = X509CertificationRequest::from_der(good.der()).unwrap();
    let signed = read.certification_request_info.raw;
    let start = signed.as_ptr().addr() - good.der().as_ptr().addr();
    for at in start..start + signed.len() {
        let mut changed = good.der().to_vec();
        changed[at] ^= 1;
        assert!(issue(&pem(&changed)).is_err(), "byte {at}");
    }
    for text in ["", "x", &authority.certificate_pem(), &"x".repeat(REQUEST_MAX + 1)] {
        assert!(matches!(issue(text), Err(AuthorityError::Request)), "{text}");
    }
}

fn pem(request: &[u8]) -> String {
    crate::cluster::authority::certificate_pem(&CertificateDer::from(request.to_vec()))
        .replace("CERTIFICATE", "CERTIFICATE REQUEST")
}

#[test]
fn a_certificate_is_good_for_a_day_and_for_clocks_that_are_behind() {
    let clock = SetClock::new();
    let issued = clock.now();
    let authority = authority(issued);
    let edge = edge(&authority, "eu-1", issued);
    assert_eq!(edge.identity().ends.secs(), issued.secs() + LIFETIME.as_secs());
    assert_eq!(edge.identity().begins.secs(), issued.secs() - LEEWAY.as_secs());
    let behind = |by: Duration| {
        let clock = crate::cluster::tls::Clock::new(move || {
            nigh_base::Wall::from_millis(issued.millis() - u64::try_from(by.as_millis()).unwrap())
        });
        Trust::of(&edge, clock).unwrap().judge(edge.identity())
    };
    let second = Duration::from_secs(1);
    assert_eq!(behind(LEEWAY - second), Ok(()));
    assert_eq!(behind(LEEWAY + second), Err(Distrust::Time));
    let trust = Trust::of(&edge, clock.clock()).unwrap();
    clock.advance(LIFETIME - second);
    assert_eq!(trust.judge(edge.identity()), Ok(()));
    clock.advance(2 * second);
    assert_eq!(trust.judge(edge.identity()), Err(Distrust::Time));
}

#[test]
fn nothing_outlives_the_authority() {
    let clock = SetClock::new();
    let authority = authority(clock.now());
    let ends = clock.now().secs() + AUTHORITY_LIFETIME.as_secs();
    clock.advance(AUTHORITY_LIFETIME - LIFETIME / 2);
    assert_eq!(edge(&authority, "eu-1", clock.now()).identity().ends.secs(), ends);
    clock.advance(LIFETIME);
    let late = authority.own_credentials(clock.now(), &mut OsSecrets::new());
    assert!(matches!(late, Err(AuthorityError::Ended)));
}

#[test]
fn credentials_are_read_as_they_are_written_and_must_fit() {
    let now = SetClock::new().now();
    let authority = authority(now);
    let (one, other) = (edge(&authority, "eu-1", now), edge(&authority, "eu-2", now));
    let read = Credentials::from_pem(&one.to_pem()).unwrap();
    assert_eq!((read.identity(), read.cluster()), (one.identity(), one.cluster()));
    assert_eq!(read.fingerprint(), authority.fingerprint());
    let key = one.to_pem().replace(&one.chain_pem(), "");
    let mixed = Credentials::from_pem(&(key.clone() + &other.chain_pem()));
    assert!(matches!(mixed, Err(CredentialsError::Mismatch)));
    for part in [key, one.chain_pem(), String::new()] {
        assert!(matches!(Credentials::from_pem(&part), Err(CredentialsError::Pem { .. })));
    }
}
