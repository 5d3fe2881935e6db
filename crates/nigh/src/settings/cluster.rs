//! `[cluster.NAME]`: the edges that act as one cache, and how this one is reached by the others.
//! docs/cluster.md.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::uri::Authority;
use nigh_cluster::hashing::Spill;
use nigh_net::{
    cluster::name::Name,
    siblings::{CAPACITY_MAX, MEMBERS_MAX, Member, Members},
};

use super::{Node, document::Section, file::beside};

/// Letters of the longest name of a cluster whose control state is in an etcd: `nigh/NAME/` is the prefix
/// of its keys there, and has 64 bytes at most.
const ETCD_NAME_MAX: usize = 58;

/// The least `spill_above`: with less than its share nobody might have room.
const SPILL_LEAST: f64 = 1.001;

/// The greatest `spill_above`: beyond, nothing would ever spill.
const SPILL_MAX: f64 = 100.0;

/// Where control state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// In a file of this machine, which one process at a time can open.
    File(PathBuf),
    /// In an etcd with these members, each `HOST:PORT`.
    Etcd(Vec<String>),
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Etcd(members) => write!(f, "etcd://{}", members.join(",")),
        }
    }
}

/// The cluster that this edge is one of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) name: Name,
    /// All of its edges, this one too.
    pub(crate) edges: Vec<Member>,
    /// By how much an edge may have more than its share of the load.
    pub(crate) spill_above: f64,
    /// Where the others come in.
    pub(crate) listen: SocketAddr,
    /// What `nigh cluster join` has made: this edge's key and certificates.
    pub(crate) dir: PathBuf,
    /// Who vouches for all of them, if that is said; otherwise who does in `dir`.
    pub(crate) authority: Option<PathBuf>,
    /// Where control state is, through which all forget together; `None` where each forgets by itself.
    pub(crate) control: Option<Kept>,
    /// This edge among them.
    pub(crate) own: Name,
}

impl Cluster {
    /// The edges and who owns what.
    pub(crate) fn members(&self) -> Arc<Members> {
        let spill = Spill::above(self.spill_above).expect("settings have bounds");
        Members::new(&self.name, &self.own, self.edges.clone(), spill)
    }
}

/// Reads the clusters, of which the one that has this edge is kept. The others are read as well, so that
/// one file can be every edge's.
pub(super) fn read(root: &mut Section<'_>, node: &Node, folder: &Path) -> Option<Cluster> {
    let sections = root.named("cluster", "[cluster.NAME]");
    let mut own = None;
    let mut is_meant = false;
    for (name, section) in sections {
        let has_own = has_own(&section, &node.name);
        if has_own && is_meant {
            let message =
                format!("`{}` is in another cluster already: an edge is in one", node.name);
            section.mistake("edges", message);
        }
        is_meant |= has_own;
        let cluster = cluster(section, name, node, folder);
        if has_own && own.is_none() {
            own = cluster;
        }
    }
    if root.has("cluster") && !is_meant {
        let message = format!(
            "no cluster has an edge called `{}`: name this one in [node], and list it in `edges`",
            node.name
        );
        root.mistake("cluster", message);
    }
    own
}

/// Whether this edge is listed, be it well or not.
fn has_own(section: &Section<'_>, own: &str) -> bool {
    section.texts("edges").any(|text| text.split_once('=').is_some_and(|(name, _)| name == own))
}

fn cluster(mut section: Section<'_>, name: &str, node: &Node, folder: &Path) -> Option<Cluster> {
    let named = name.parse::<Name>();
    if let Err(why) = &named {
        section.mistake("", format!("`{name}` is no name of a cluster: {why}"));
    }
    let edges = section.list("edges", edge);
    if !section.has("edges") || edges.as_ref().is_some_and(Vec::is_empty) {
        let message = "a cluster has edges: write edges = [\"eu-1=192.0.2.11:8443\"]";
        section.mistake("edges", message);
    }
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (number, edge) in edges.iter().flatten().enumerate() {
        if !names.insert(&edge.name) {
            let message = format!("the edge `{}` was named before", edge.name);
            section.mistake_in("edges", number, message);
        }
        if !addresses.insert(edge.address) {
            let message = format!("another edge is at {} already", edge.address);
            section.mistake_in("edges", number, message);
        }
    }
    if edges.as_ref().is_some_and(|edges| edges.len() > MEMBERS_MAX) {
        section.mistake("edges", format!("a cluster has at most {MEMBERS_MAX} edges"));
    }
    let spill_above = section.float("spill_above", SPILL_LEAST..=SPILL_MAX);
    let listen = section.parsed("listen", address);
    let dir = section.parsed("dir", beside(folder));
    let authority = section.parsed("ca", beside(folder));
    let control = section.parsed("control", |text| kept(text, name, folder));
    if edges.as_ref().is_some_and(|edges| edges.len() > 1) && matches!(control, Some(Kept::File(_)))
    {
        let message = "one process at a time can open a file: several edges want etcd://HOST:PORT";
        section.mistake("control", message);
    }
    for (wanted, what) in [
        ("listen", "the address where the other edges come in"),
        ("dir", "the directory that `nigh cluster join` has made"),
    ] {
        // Of other clusters less is known here.
        if has_own(&section, &node.name) && !section.has(wanted) {
            section.mistake("", format!("[cluster.{name}] has no `{wanted}`: say {what}"));
        }
    }
    section.finish();
    Some(Cluster {
        name: named.ok()?,
        edges: edges?,
        spill_above: spill_above.unwrap_or(1.25),
        listen: listen?,
        dir: dir?,
        authority,
        control,
        own: node.name.parse().ok()?,
    })
}

/// `etcd://192.0.2.21:2379,192.0.2.22:2379`, or `file:PATH`.
fn kept(text: &str, cluster: &str, folder: &Path) -> Result<Kept, String> {
    if let Some(path) = text.strip_prefix("file:") {
        return Ok(Kept::File(beside(folder)(path)?));
    }
    let members = text.strip_prefix("etcd://").ok_or_else(|| {
        format!("`{text}` is no control state: write etcd://HOST:PORT[,HOST:PORT...] or file:PATH")
    })?;
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
    Ok(Kept::Etcd(members.split(',').map(member).collect::<Result<_, _>>()?))
}

/// `eu-1=192.0.2.11:8443`, or with a capacity, `eu-2=192.0.2.12:8443*2`.
fn edge(text: &str) -> Result<Member, String> {
    let (name, rest) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` is no edge: write its name and its address, eu-1=192.0.2.11:8443")
    })?;
    let name = name.parse().map_err(|why| format!("`{name}` is no name of an edge: {why}"))?;
    let (at, capacity) = match rest.split_once('*') {
        Some((at, capacity)) => (at, self::capacity(capacity)?),
        None => (rest, 1),
    };
    Ok(Member { name, address: address(at)?, capacity })
}

fn capacity(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=CAPACITY_MAX).contains(number));
    number.ok_or_else(|| {
        format!("`*{text}` is no capacity: a whole number from 1 to {CAPACITY_MAX}, such as *2")
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let address: Option<SocketAddr> = text.parse().ok();
    address
        .filter(|address| address.port() != 0)
        .ok_or_else(|| format!("`{text}` is no address and port, such as 192.0.2.11:8443"))
}
