//! Where control state of a cluster is kept, and how an etcd that has it is asked: in the section of a
//! cluster, and in a directory of an authority. docs/control.md.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use http::uri::Authority;
use toml::de::DeTable;

use super::{
    Tls,
    document::Section,
    file::{beside, secret},
    mistake::{Mistake, Mistakes},
};

/// Letters of the longest name of a cluster whose control state is in an etcd: `nigh/NAME/` is the prefix
/// of its keys there, and has 64 bytes at most.
const ETCD_NAME_MAX: usize = 58;

/// The schemes of an etcd: without TLS, and with it.
const PLAIN: &str = "etcd://";
const SECURE: &str = "etcds://";

/// The keys that say how an etcd is asked over TLS.
pub(super) const KEYS_OF_TLS: [&str; 3] = ["control_ca", "control_cert", "control_key"];

/// Where control state is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kept {
    /// In a file of this machine, which one process at a time can open.
    File(PathBuf),
    /// In an etcd.
    Etcd(Etcd),
}

/// Where an etcd is, and how it is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Etcd {
    /// Each `HOST:PORT`.
    pub(crate) members: Vec<String>,
    /// Where TLS is spoken with them.
    pub(crate) tls: Option<EtcdTls>,
}

/// How an etcd and whoever asks it over TLS know each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EtcdTls {
    /// Who vouches for the etcd; those whom this machine trusts, if that is not said.
    pub(crate) authority: Option<PathBuf>,
    /// The certificate that is shown to it.
    pub(crate) shown: Option<Tls>,
}

impl Kept {
    /// Whether what is changed here is seen there.
    pub(super) fn is_where(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Etcd(one), Self::Etcd(other)) => {
                one.members == other.members && one.tls.is_some() == other.tls.is_some()
            }
            (one, other) => one == other,
        }
    }

    /// How an etcd is asked over TLS, if it is.
    pub(super) const fn tls(&self) -> Option<&EtcdTls> {
        match self {
            Self::Etcd(etcd) => etcd.tls.as_ref(),
            Self::File(_) => None,
        }
    }
}

impl fmt::Display for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { SECURE } else { PLAIN };
        write!(f, "{scheme}{}", self.members.join(","))
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Etcd(etcd) => etcd.fmt(f),
        }
    }
}

/// Where control state of `cluster` is, and how it is asked.
pub(super) fn control(section: &mut Section<'_>, cluster: &str, folder: &Path) -> Option<Kept> {
    let mut kept = section.parsed("control", |text| kept(text, cluster, folder));
    let authority = section.parsed("control_ca", beside(folder));
    let certificate = section.parsed("control_cert", beside(folder));
    let key = secret(section, "control_key", folder);
    // Where `control` is a mistake, that one is enough.
    let is_known = kept.is_some() || !section.has("control");
    if is_known && kept.as_ref().and_then(Kept::tls).is_none() {
        for named in KEYS_OF_TLS.into_iter().filter(|named| section.has(named)) {
            let message =
                format!("`{named}` is for an etcd over TLS: write control = \"{SECURE}HOST:PORT\"");
            section.mistake(named, message);
        }
    }
    for (there, other) in [("control_cert", "control_key"), ("control_key", "control_cert")] {
        if section.has(there) && !section.has(other) {
            section.mistake(there, format!("`{there}` is of no use without `{other}`"));
        }
    }
    if let Some(Kept::Etcd(Etcd { tls: Some(tls), .. })) = &mut kept {
        let shown = certificate.zip(key).map(|(certificate, key)| Tls { certificate, key });
        *tls = EtcdTls { authority, shown };
    }
    kept
}

/// The etcd with control state of `cluster`, from a text that has the keys of a cluster's section that speak
/// of it and no others. Files that it names lie in `folder` if they do not say where.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn etcd_in(text: &str, cluster: &str, folder: &Path) -> Result<Etcd, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mistakes = Mistakes::new(text);
    for error in &errors {
        mistakes.add(error.span().unwrap_or(0..0), error.message());
    }
    let document = document.into_inner();
    let mut root = Section::root(&document, &mistakes);
    let kept = control(&mut root, cluster, folder);
    if matches!(kept, Some(Kept::File(_))) || !root.has("control") {
        let message = "an authority keeps what edges hear of in an etcd: write etcd://HOST:PORT";
        root.mistake("control", message);
    }
    root.finish();
    match (mistakes.into_list(), kept) {
        (list, Some(Kept::Etcd(etcd))) if list.is_empty() => Ok(etcd),
        (list, _) => Err(list),
    }
}

/// The text that [`etcd_in`] reads, from the values of `control`, `control_ca`, `control_cert` and
/// `control_key`.
pub(crate) fn etcd_text(etcd: &str, files: [Option<&Path>; 3]) -> String {
    // What is a string in JSON is the same one in TOML.
    let text = |key: &str, value: &str| format!("{key} = {}\n", serde_json::Value::from(value));
    let files = KEYS_OF_TLS
        .into_iter()
        .zip(files)
        .filter_map(|(key, path)| path.map(|path| text(key, &path.to_string_lossy())));
    text("control", etcd) + &files.collect::<String>()
}

/// `etcd://192.0.2.21:2379,192.0.2.22:2379`, the same with `etcds`, or `file:PATH`.
fn kept(text: &str, cluster: &str, folder: &Path) -> Result<Kept, String> {
    if let Some(path) = text.strip_prefix("file:") {
        return Ok(Kept::File(beside(folder)(path)?));
    }
    let plain = text.strip_prefix(PLAIN).map(|members| (members, None));
    let secure = text.strip_prefix(SECURE).map(|members| (members, Some(EtcdTls::default())));
    let (members, tls) = plain.or(secure).ok_or_else(|| {
        format!(
            "`{text}` is no control state: write etcd://HOST:PORT[,HOST:PORT...], etcds:// for TLS, or \
             file:PATH"
        )
    })?;
    Ok(Kept::Etcd(Etcd { members: etcd(members, cluster)?, tls }))
}

/// The members of an etcd that keeps control state of `cluster`, set apart by commas.
///
/// # Errors
/// What is wrong with them.
fn etcd(members: &str, cluster: &str) -> Result<Vec<String>, String> {
    if !cfg!(feature = "etcd") {
        return Err("this nigh was built without etcd: build one that has it with \
                    `cargo build --release --features etcd`"
            .to_owned());
    }
    if cluster.len() > ETCD_NAME_MAX {
        return Err(format!("with an etcd, a cluster's name has at most {ETCD_NAME_MAX} letters"));
    }
    let member = |text: &str| {
        let is_authority = text.parse::<Authority>().is_ok_and(|it| it.port_u16().is_some());
        let is_plain = is_authority && !text.contains('@');
        is_plain.then(|| text.to_owned()).ok_or_else(|| {
            format!("`{text}` is no host and port of an etcd, such as 192.0.2.21:2379")
        })
    };
    members.split(',').map(member).collect()
}
