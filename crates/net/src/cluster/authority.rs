//! The certificate authority of a cluster: a key and a self-signed certificate, and what it signs.

use std::{fmt, net::Ipv4Addr, net::Ipv6Addr, str, time::Duration};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use nigh_base::{Wall, machine::Secrets};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::{
    certificate::X509Certificate, certification_request::X509CertificationRequest, prelude::FromDer,
};

use super::{
    credentials::Credentials,
    identity::{JoinId, Serial},
    name::Name,
};

/// For how long an edge's certificate is good. A stolen key is worth no more than this once its edge
/// was put out and nobody was told; and an edge that cannot renew goes on for a third of it.
pub const LIFETIME: Duration = Duration::from_hours(24);

/// By how much clocks may differ: a certificate is good from so much before it is made. One that an
/// edge's clock takes for ended was renewed long before.
pub const LEEWAY: Duration = Duration::from_mins(5);

/// For how long an authority is good: ten years. There is no changing over to another one yet.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// Bytes of the longest request for a certificate, in PEM. One of a P-256 key takes some 500.
pub const REQUEST_MAX: usize = 4096;

/// The SHA-256 of an authority's certificate, which tells it from all others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate is none of a cluster's authority.
    #[error("the certificate is none of a cluster's authority")]
    NotAuthority,
    /// The key is not the certificate's.
    #[error("the certificate and the key of the authority do not fit")]
    Mismatch,
    /// The request is malformed, or not signed with its own key.
    #[error("that is no request for a certificate, in PEM and signed with its own key")]
    Request,
    /// The request's key is none of P-256.
    #[error("the key must be one of P-256 (prime256v1)")]
    Key,
    /// The authority itself has ended.
    #[error("the authority has ended: make a new cluster")]
    Ended,
    /// Keys or certificates cannot be made or read.
    #[error("cannot make or read a certificate")]
    Certificate(#[from] rcgen::Error),
}

/// A certificate authority.
pub struct Authority {
    cluster: Name,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    ends: Wall,
}

impl Authority {
    /// Makes the authority of a new cluster. Its certificate allows it to vouch for names below
    /// `CLUSTER.nigh.internal` and for nothing else.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn create(
        cluster: Name,
        now: Wall,
        secrets: &mut dyn Secrets,
    ) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let ends = now.after(AUTHORITY_LIFETIME);
        let mut params = params(now, ends, Serial::draw(JoinId::draw(secrets), secrets));
        params.distinguished_name = subject(&cluster, cluster.domain());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(cluster.domain())],
            // What is named by address is held by no rule on names.
            excluded_subtrees: vec![
                GeneralSubtree::IpAddress(CidrSubnet::V4(
                    Ipv4Addr::UNSPECIFIED.octets(),
                    Ipv4Addr::UNSPECIFIED.octets(),
                )),
                GeneralSubtree::IpAddress(CidrSubnet::V6(
                    Ipv6Addr::UNSPECIFIED.octets(),
                    Ipv6Addr::UNSPECIFIED.octets(),
                )),
            ],
        });
        let certificate = params.self_signed(&key)?.into();
        Self::new(certificate, key)
    }

    /// Reads an authority as [`Authority::certificate_pem`] and [`Authority::key_pem`] give it.
    ///
    /// # Errors
    /// If it is none, or certificate and key do not fit.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| AuthorityError::NotAuthority)?;
        Self::new(certificate, KeyPair::from_pem(key)?)
    }

    fn new(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, AuthorityError> {
        let (_, parsed) =
            X509Certificate::from_der(&certificate).map_err(|_| AuthorityError::NotAuthority)?;
        let organization = parsed.subject().iter_organization().next();
        let cluster = organization.and_then(|name| name.as_str().ok()?.parse::<Name>().ok());
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).ok();
        let (Some(cluster), Some(ends), true) = (cluster, ends, parsed.is_ca()) else {
            return Err(AuthorityError::NotAuthority);
        };
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&cluster, cluster.domain());
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::new(params, key);
        Ok(Self { cluster, certificate, issuer, ends: Wall::from_secs(ends) })
    }

    /// The cluster's name.
    pub const fn cluster(&self) -> &Name {
        &self.cluster
    }

    /// The authority's own certificate, which is no secret.
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What tells it from others.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        certificate_pem(&self.certificate)
    }

    /// The key in PEM: who has it is the authority.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a certificate for the edge `name`, good from now for [`LIFETIME`]. Of the request, in
    /// PEM, the public key alone counts: what names and uses it asks for is not even read.
    ///
    /// # Errors
    /// If the request is none, is not signed with its own key, or that is no key of P-256; and if the
    /// authority has ended.
    pub fn issue(
        &self,
        name: &Name,
        request: &str,
        join: JoinId,
        now: Wall,
        secrets: &mut dyn Secrets,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        self.sign(name, &requested_key(request)?, join, now, secrets)
    }

    /// A certificate under which the authority itself answers, with a key of its own.
    ///
    /// # Errors
    /// If none can be made, or the authority has ended.
    pub fn own_credentials(
        &self,
        now: Wall,
        secrets: &mut dyn Secrets,
    ) -> Result<Credentials, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let join = JoinId::draw(secrets);
        let leaf = self.sign(&Name::of_authority(), &key, join, now, secrets)?;
        let made = Credentials::new(&self.cluster, key, leaf, self.certificate.clone());
        Ok(made.expect("the authority makes certificates that can be read"))
    }

    fn sign(
        &self,
        name: &Name,
        key: &impl PublicKeyData,
        join: JoinId,
        now: Wall,
        secrets: &mut dyn Secrets,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        if now >= self.ends {
            return Err(AuthorityError::Ended);
        }
        // Nothing that it signs outlives the authority.
        let ends = now.after(LIFETIME).min(self.ends);
        let mut params = params(now, ends, Serial::draw(join, secrets));
        params.distinguished_name = subject(&self.cluster, name.to_string());
        let domain = name.within(&self.cluster).try_into()?;
        params.subject_alt_names = vec![SanType::DnsName(domain)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer).map(Certificate::into)?)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A certificate in PEM.
pub(super) fn certificate_pem(certificate: &CertificateDer<'_>) -> String {
    pem::encode("CERTIFICATE", certificate)
}

mod pem {
    use base64::{Engine, engine::general_purpose::STANDARD};

    /// RFC 7468, section 2: lines of 64.
    pub(super) fn encode(label: &str, der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        let mut out = format!("-----BEGIN {label}-----\n");
        for start in (0..text.len()).step_by(64) {
            out.push_str(&text[start..text.len().min(start + 64)]);
            out.push('\n');
        }
        out + "-----END " + label + "-----\n"
    }
}

/// What all certificates of a cluster have in common.
fn params(now: Wall, ends: Wall, serial: Serial) -> CertificateParams {
    let mut params = CertificateParams::default();
    let begins = now.secs().saturating_sub(LEEWAY.as_secs());
    params.not_before = date(begins);
    params.not_after = date(ends.secs());
    params.serial_number = Some(SerialNumber::from_slice(&serial.bytes()));
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// # Panics
/// If the machine's clock is thousands of years ahead.
fn date(secs: u64) -> OffsetDateTime {
    let date = i64::try_from(secs).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
    date.expect("the machine's clock is before the year 9999")
}

fn subject(cluster: &Name, common_name: String) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, cluster.as_str());
    // A common name has 64 characters at most, and nothing reads it. RFC 5280, appendix A.1.
    subject.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    subject
}

/// A public key of P-256, as a request has it.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The public key of a request that was signed with it. RFC 2986.
fn requested_key(request: &str) -> Result<RequestedKey, AuthorityError> {
    if request.len() > REQUEST_MAX {
        return Err(AuthorityError::Request);
    }
    let der = CertificateSigningRequestDer::from_pem_slice(request.as_bytes())
        .map_err(|_| AuthorityError::Request)?;
    let (rest, request) =
        X509CertificationRequest::from_der(&der).map_err(|_| AuthorityError::Request)?;
    let info = &request.certification_request_info;
    let point = info.subject_pki.raw.strip_prefix(&P256).ok_or(AuthorityError::Key)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    // The curve's equation is checked here too.
    let is_signed = key.verify(info.raw, &request.signature_value.data).is_ok();
    if is_signed && rest.is_empty() {
        Ok(RequestedKey(point.to_vec()))
    } else {
        Err(AuthorityError::Request)
    }
}

/// How the information on a public key of P-256 begins, whose point is not compressed: the rest are the
/// 65 bytes of the point. RFC 5480, section 2.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
