//! `[cluster.NAME]`: the edges that act as one cache, and how this one is reached by the others.
//! docs/cluster.md.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use nigh_cluster::{family::QualifiedName, hashing::Spill, membership};
use nigh_net::{
    cluster::name::Name,
    siblings::{CAPACITY_MAX, MEMBERS_MAX, Member, Members},
};

use super::{
    Node,
    control::{KEYS_OF_TLS, Kept, control},
    document::Section,
    file::beside,
};

/// The least `spill_above`: with less than its share nobody might have room.
const SPILL_LEAST: f64 = 1.001;

/// The greatest `spill_above`: beyond, nothing would ever spill.
const SPILL_MAX: f64 = 100.0;

/// The cluster that this edge is one of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) name: Name,
    /// All of its edges, this one too; as far as they are known where control state has them.
    pub(crate) edges: Vec<Member>,
    /// Whether the settings list them. Otherwise each edge says in control state that it belongs.
    pub(crate) is_listed: bool,
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
    /// The cluster that is asked in the origin's stead.
    pub(crate) parent: Option<Other>,
    /// Those of which this one is the parent.
    pub(crate) children: Vec<Other>,
    /// The name under which all that have one parent, or parent's parent, find their control state.
    pub(crate) family: Name,
}

/// Another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    pub(crate) name: Name,
    pub(crate) edges: Vec<Member>,
    /// Whether the settings list them; otherwise each says in control state that it belongs.
    pub(crate) is_listed: bool,
    /// Who vouches for its edges.
    pub(crate) authority: PathBuf,
}

impl Cluster {
    /// The edges and who owns what.
    pub(crate) fn members(&self) -> Arc<Members> {
        let spill = Spill::above(self.spill_above).expect("settings have bounds");
        Members::new(&self.name, &self.own, self.edges.clone(), spill)
    }

    /// The same of the parent.
    pub(crate) fn parents(&self) -> Option<Arc<Members>> {
        let Other { name, edges, .. } = self.parent.as_ref()?;
        Some(Members::of_parent(name, &self.own, edges.clone()))
    }

    /// This edge, as the others are to know it.
    pub(crate) fn this(&self) -> &Member {
        let this = self.edges.iter().find(|edge| edge.name == self.own);
        this.expect("it is one of them")
    }

    /// An edge of this cluster, as control state that others share has it.
    pub(crate) fn qualified(&self, edge: &Name) -> QualifiedName {
        qualified(&self.name, edge)
    }

    /// All edges that are known to belong to this cluster, in the same way.
    pub(crate) fn qualified_edges(&self) -> impl Iterator<Item = QualifiedName> {
        self.edges.iter().map(|edge| self.qualified(&edge.name))
    }

    /// Whether control state is in a file, which one process at a time can open.
    pub(crate) const fn keeps_a_file(&self) -> bool {
        matches!(self.control, Some(Kept::File(_)))
    }
}

/// An edge of a cluster, as control state that several clusters share has it.
pub(crate) fn qualified(cluster: &Name, edge: &Name) -> QualifiedName {
    let name = |name: &Name| {
        let name = membership::Name::new(name.as_str());
        name.expect("these names are among those")
    };
    QualifiedName { cluster: name(cluster), edge: name(edge) }
}

/// A section of a cluster, this edge's or another one's.
struct Read<'d> {
    /// Where its mistakes stand that only show beside others.
    section: Section<'d>,
    name: Name,
    edges: Vec<Member>,
    is_listed: bool,
    spill_above: f64,
    listen: Option<SocketAddr>,
    dir: Option<PathBuf>,
    authority: Option<PathBuf>,
    control: Option<Kept>,
    parent: Option<Name>,
}

/// Reads the clusters, of which the one that has this edge is kept, with what it has to know of its parent
/// and its children. All are read, so that one file can be every edge's.
pub(super) fn read(root: &mut Section<'_>, node: &Node, folder: &Path) -> Option<Cluster> {
    let sections = root.named("cluster", "[cluster.NAME]");
    let names: Vec<_> = sections.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut read = Vec::new();
    let mut own = None;
    // Another cluster may have an edge of the same name: this one's says more.
    let named = sections.iter().filter(|(_, it)| has_own(it, &node.name)).count();
    for (name, section) in sections {
        let says_more = section.has("listen") || section.has("dir");
        let has_own = has_own(&section, &node.name) && (named == 1 || says_more);
        if has_own && own.is_some() {
            let message =
                format!("`{}` is in another cluster already: an edge is in one", node.name);
            section.mistake("edges", message);
        }
        if has_own {
            own.get_or_insert_with(|| name.to_owned());
        }
        read.extend(cluster(section, (name, &names), (node, has_own), folder));
    }
    if root.has("cluster") && own.is_none() {
        let message = format!(
            "no cluster has an edge called `{}`: name this one in [node], and list it in `edges`",
            node.name
        );
        root.mistake_below("node", "name", message);
    }
    let own = read.iter().find(|it| Some(it.name.as_str()) == own.as_deref())?;
    if !fit(&read) {
        return None;
    }
    let children = || read.iter().filter(|it| it.parent.as_ref() == Some(&own.name));
    line(&read, own).chain(children()).for_each(|it| asked_as_own(own, it));
    let other = |it: &Read<'_>| {
        let Read { section, name, edges, is_listed, authority, .. } = it;
        let Some(authority) = authority.clone() else {
            let message = format!("[cluster.{name}] has no `ca`: say who vouches for its edges");
            section.mistake("", message);
            return None;
        };
        let (name, edges) = (name.clone(), edges.clone());
        Some(Other { name, edges, is_listed: *is_listed, authority })
    };
    let parent = read.iter().find(|it| Some(&it.name) == own.parent.as_ref());
    if let Some(Read { section, name, is_listed: false, control, .. }) = parent
        && !matches!(control, Some(Kept::Etcd { .. }))
    {
        let message = format!(
            "[cluster.{name}] is a parent: list its `edges`, or keep `control` in an etcd, where each \
             says that it belongs"
        );
        section.mistake("control", message);
    }
    let parent = parent.map(other);
    Some(Cluster {
        name: own.name.clone(),
        edges: own.edges.clone(),
        is_listed: own.is_listed,
        spill_above: own.spill_above,
        listen: own.listen?,
        dir: own.dir.clone()?,
        authority: own.authority.clone(),
        control: own.control.clone(),
        own: node.name.parse().ok()?,
        children: children().map(other).collect::<Option<_>>()?,
        // One that could not be read is a mistake that was said.
        parent: parent.map_or(Some(None), |parent| parent.map(Some))?,
        family: line(&read, own).last().map_or_else(|| own.name.clone(), |it| it.name.clone()),
    })
}

/// A cluster's parent, that one's parent, and so on; as many as there are clusters, where that is a
/// circle.
fn line<'a, 'd>(read: &'a [Read<'d>], of: &'a Read<'d>) -> impl Iterator<Item = &'a Read<'d>> {
    let parent = |of: &&'a Read<'d>| read.iter().find(|it| Some(&it.name) == of.parent.as_ref());
    std::iter::successors(parent(&of), move |it| parent(it)).take(read.len())
}

/// Whether the clusters fit together: nobody is its own parent's parent, and a purge that a cluster knows
/// of is known to its parent. Reports what does not.
fn fit(read: &[Read<'_>]) -> bool {
    for it in read {
        let Read { section, name, .. } = it;
        if line(read, it).any(|other| other.name == it.name) {
            section.mistake("parent", format!("[cluster.{name}] is its own parent's parent"));
            return false;
        }
        let Some(parent) = line(read, it).next() else { continue };
        let is_shared = match (&it.control, &parent.control) {
            (Some(own), Some(other)) => own.is_where(other),
            (own, other) => own.is_none() && other.is_none(),
        };
        if !is_shared {
            let message = format!(
                "[cluster.{name}] and its parent [cluster.{}] have different `control`: a purge would \
                 not reach both",
                parent.name
            );
            section.mistake("control", message);
            return false;
        }
    }
    true
}

/// Reports what is said of TLS with the etcd for a relative's edges alone: this one asks for their part of
/// it as its own section says, which an operator who writes it there alone does not expect.
fn asked_as_own(own: &Read<'_>, relative: &Read<'_>) {
    for key in KEYS_OF_TLS {
        if relative.section.has(key) && !own.section.has(key) {
            let message = format!(
                "`{key}` in [cluster.{}] is for its own edges: this one asks the etcd as [cluster.{}] says, \
                 so write it there too",
                relative.name, own.name
            );
            relative.section.mistake(key, message);
        }
    }
}

/// Whether this edge is listed, be it well or not, or says in control state that it belongs.
fn has_own(section: &Section<'_>, own: &str) -> bool {
    if !section.has("edges") && section.has("control") && section.has("listen") {
        return true;
    }
    section.texts("edges").any(|text| text.split_once('=').is_some_and(|(name, _)| name == own))
}

fn cluster<'d>(
    mut section: Section<'d>,
    (name, clusters): (&str, &[String]),
    (node, is_own): (&Node, bool),
    folder: &Path,
) -> Option<Read<'d>> {
    let named = name.parse::<Name>();
    if let Err(why) = &named {
        section.mistake("", format!("`{name}` is no name of a cluster: {why}"));
    }
    let edges = section.list("edges", edge);
    let is_listed = section.has("edges");
    if edges.as_ref().is_some_and(Vec::is_empty) || !is_listed && !section.has("control") {
        let message = "a cluster has edges: write edges = [\"eu-1=192.0.2.11:8443\"], or name the \
                       `control` state in which each says that it belongs";
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
    let capacity = section.number("capacity", 1..=u64::from(CAPACITY_MAX));
    if is_listed && section.has("capacity") {
        section.mistake("capacity", "where `edges` lists this one, its capacity stands there: *2");
    }
    if !is_listed && listen.is_some_and(|listen| listen.ip().is_unspecified()) {
        let message = "the others have to reach this edge by it: write the address itself";
        section.mistake("listen", message);
    }
    let dir = section.parsed("dir", beside(folder));
    let authority = section.parsed("ca", beside(folder));
    let control = control(&mut section, name, folder);
    if edges.as_ref().is_some_and(|edges| edges.len() > 1) && matches!(control, Some(Kept::File(_)))
    {
        let message = "one process at a time can open a file: several edges want etcd://HOST:PORT";
        section.mistake("control", message);
    }
    let parent = section.parsed("parent", |text| {
        let is_known = text != name && clusters.iter().any(|known| known == text);
        let message =
            || format!("`{text}` is no other cluster of this file: parents are listed too");
        is_known.then(|| text.parse().ok()).flatten().ok_or_else(message)
    });
    for (wanted, what) in [
        ("listen", "the address where the other edges come in"),
        ("dir", "the directory that `nigh cluster join` has made"),
    ] {
        // Of other clusters less is known here.
        if is_own && !section.has(wanted) {
            section.mistake("", format!("[cluster.{name}] has no `{wanted}`: say {what}"));
        }
    }
    let own = node.name.parse::<Name>();
    if let (Err(why), false) = (&own, is_listed) {
        section.mistake("", format!("`{}`, in [node], is no name of an edge: {why}", node.name));
    }
    section.finish();
    let capacity = capacity.and_then(|capacity| u32::try_from(capacity).ok()).unwrap_or(1);
    let this = || Some(vec![Member { name: own.ok()?, address: listen?, capacity }]);
    // Of another cluster it is not known.
    let edges = if is_listed { edges? } else { this().unwrap_or_default() };
    let name = named.ok()?;
    let spill_above = spill_above.unwrap_or(1.25);
    Some(Read {
        section,
        name,
        edges,
        is_listed,
        spill_above,
        listen,
        dir,
        authority,
        control,
        parent,
    })
}

/// An edge as it says in control state that it is reached: `192.0.2.12:8443*2`.
pub(crate) fn reached(edge: &Member) -> String {
    format!("{}*{}", edge.address, edge.capacity)
}

/// The edge of this name that is reached so.
///
/// # Errors
/// If that is nothing that [`reached`] says.
pub(crate) fn edge_at(name: &str, reached: &str) -> Result<Member, String> {
    edge(&format!("{name}={reached}"))
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
