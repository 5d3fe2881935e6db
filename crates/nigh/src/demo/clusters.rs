//! What a demo is made of: two clusters of three edges, their certificates and their settings.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
};

use anyhow::Context;
use nigh_net::{
    clock,
    cluster::{
        authority::Authority,
        files::Directory,
        join::{self, JoinServer},
        name::Name,
        registry::Files,
        tls::Clock,
        token::{self, JoinAddress, Token},
    },
    entropy::OsSecrets,
};

/// The clusters. The first is the parent of the second.
pub(super) const CLUSTERS: [&str; 2] = ["eu", "us"];

/// Edges of each.
const EDGES: usize = 3;

/// The host of the site. It is a part of the key under which an answer is stored, so all edges are asked
/// for the same, whatever their addresses.
pub(super) const HOST: &str = "www.example";

/// The file of the control state that edges of one process share.
pub(super) const CONTROL: &str = "control.redb";

/// Ports are looked for from here on; connections take theirs from 32768 on, so that nobody comes to
/// have the port of an edge that is down for a moment.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// An edge as it is planned.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) name: String,
    cluster: &'static str,
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
    siblings: SocketAddr,
    /// Its settings.
    pub(super) file: PathBuf,
    /// It belongs to its cluster, and is not started with the others.
    pub(super) comes_later: bool,
}

/// The names of all files and directories that are made in the folder of the edges.
pub(super) fn made() -> impl Iterator<Item = String> {
    let numbers = |cluster| (1..=EDGES + 1).map(move |number| format!("{cluster}-{number}"));
    let edges = CLUSTERS.into_iter().flat_map(numbers);
    let of_edges = edges.flat_map(|name| [format!("{name}.toml"), format!("{name}.log"), name]);
    let of_cluster = |cluster: &str| [format!("{cluster}.pem"), cluster.to_owned()];
    let of_clusters = CLUSTERS.into_iter().flat_map(of_cluster);
    of_edges.chain(of_clusters).chain([CONTROL.to_owned()])
}

/// Plans all edges, writes their settings before `origin` into `folder`, and has them join their
/// clusters, whose authorities go on answering on this runtime. With `one_more`, the last of them is one
/// of the first cluster that comes later.
pub(super) async fn plan(
    folder: &Path,
    origin: SocketAddr,
    one_more: bool,
) -> anyhow::Result<Vec<Planned>> {
    let mut ports = free_ports();
    let mut next = || {
        let port = ports.next().context("no port is free on 127.0.0.1")?;
        anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    };
    let mut planned = Vec::new();
    let first = CLUSTERS.into_iter();
    let first = first.flat_map(|cluster| (1..=EDGES).map(move |number| (cluster, number)));
    for (cluster, number) in first.chain(one_more.then_some((CLUSTERS[0], EDGES + 1))) {
        let name = format!("{cluster}-{number}");
        let file = folder.join(format!("{name}.toml"));
        let (http, admin, siblings) = (next()?, next()?, next()?);
        let comes_later = number > EDGES;
        planned.push(Planned { name, cluster, http, admin, siblings, file, comes_later });
    }
    for cluster in CLUSTERS {
        let own: Vec<&Planned> = planned.iter().filter(|edge| edge.cluster == cluster).collect();
        certify(cluster, folder, &own).await?;
    }
    for edge in &planned {
        let text = settings(edge, &planned, folder, origin);
        let written = fs::write(&edge.file, text);
        written.with_context(|| format!("cannot write {}", edge.file.display()))?;
    }
    Ok(planned)
}

/// What an edge's file says.
fn settings(edge: &Planned, all: &[Planned], folder: &Path, origin: SocketAddr) -> String {
    let Planned { name, cluster: own, http, admin, siblings, .. } = edge;
    let dir = folder.join(name);
    let clusters = CLUSTERS.map(|cluster| {
        let listed = all.iter().filter(|other| other.cluster == cluster);
        let listed = listed.map(|other| format!("\"{}={}\"", other.name, other.siblings));
        let listed = listed.collect::<Vec<_>>().join(", ");
        let ca = authority_file(folder, cluster);
        let mut text =
            format!("[cluster.{cluster}]\nedges = [{listed}]\nca = \"{}\"\n", ca.display());
        if cluster == *own {
            text += &format!("listen = \"{siblings}\"\ndir = \"{}\"\n", dir.display());
        }
        if cluster != CLUSTERS[0] {
            text += &format!("parent = \"{}\"\n", CLUSTERS[0]);
        }
        text
    });
    let clusters = clusters.concat();
    format!(
        "# An edge of `nigh demo`.\n\
         [node]\nname = \"{name}\"\nlisten = \"http://{http}\"\nadmin = \"{admin}\"\nworkers = 1\n\
         [cache]\nmemory = \"64MiB\"\n\
         {clusters}\
         [[site]]\nhost = \"{HOST}\"\norigin = \"http://{origin}\"\n"
    )
}

/// Where the certificate of a cluster's authority is.
fn authority_file(folder: &Path, cluster: &str) -> PathBuf {
    folder.join(format!("{cluster}.pem"))
}

/// Makes a cluster's authority, and has its edges join it, as `nigh cluster` does.
async fn certify(cluster: &str, folder: &Path, edges: &[&Planned]) -> anyhow::Result<()> {
    let (clock, mut secrets) = (Clock::machine(), OsSecrets::new());
    let name: Name = cluster.parse()?;
    let authority = Authority::create(name.clone(), clock::now(), &mut secrets)?;
    let fingerprint = authority.fingerprint();
    fs::write(authority_file(folder, cluster), authority.certificate_pem())?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address: JoinAddress = listener.local_addr()?.to_string().parse()?;
    let registry = Files::open(Directory::make(&folder.join(cluster))?.path())?;
    let mut tokens = Vec::new();
    for _ in edges {
        let expires = clock::now().after(token::LIFETIME);
        let addresses = vec![address.clone()];
        let token = Token::draw(name.clone(), addresses, fingerprint, expires, &mut secrets)?;
        registry.add_token(token.id, &token.kept(), clock::now())?;
        tokens.push(token);
    }
    let server = JoinServer::new(authority, registry, clock.clone())?;
    tokio::spawn(server.serve(listener));
    for (edge, token) in edges.iter().zip(&tokens) {
        let joined = join::join(token, &edge.name.parse()?, &clock).await?;
        let directory = Directory::make(&folder.join(&edge.name))?;
        directory.write("addresses", &format!("{}\n", address.as_str()))?;
        directory.write("authority.pem", &joined.authority_pem())?;
        directory.write("edge.pem", &joined.to_pem())?;
    }
    Ok(())
}

/// Ports that nobody has at the moment, by TCP and UDP, each once; from another place on in each
/// process.
fn free_ports() -> impl Iterator<Item = u16> {
    let all = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() * 31 % u32::from(all)).expect("below a u16");
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    (0..all).map(move |step| PORTS.start + (first + step) % all).filter(is_free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parse;

    #[test]
    fn the_settings_of_each_edge_are_in_order() {
        let edge = |name: &str, cluster, port| Planned {
            name: name.to_owned(),
            cluster,
            http: (Ipv4Addr::LOCALHOST, port).into(),
            admin: (Ipv4Addr::LOCALHOST, port + 1).into(),
            siblings: (Ipv4Addr::LOCALHOST, port + 2).into(),
            file: PathBuf::from("x.toml"),
            comes_later: false,
        };
        let all = [edge("eu-1", "eu", 1), edge("eu-2", "eu", 4), edge("us-1", "us", 7)];
        for (edge, count) in all.iter().zip([2, 2, 1]) {
            let text = settings(edge, &all, Path::new("/x"), all[0].http);
            let settings = parse(&text, Path::new("/x")).unwrap();
            let cluster = settings.cluster.unwrap();
            assert_eq!((cluster.own.as_str(), cluster.edges.len()), (&*edge.name, count));
            let parent = cluster.parent.map(|parent| parent.name.to_string());
            assert_eq!(parent.as_deref(), (cluster.name.as_str() == "us").then_some("eu"));
        }
    }
}
