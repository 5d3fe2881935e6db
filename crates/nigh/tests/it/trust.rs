//! What an edge shows to the others of its cluster, while it runs. Renewals and revocations:
//! tests/foreign/cluster-apply.sh.

use std::{net::TcpStream, sync::Arc, time::Instant};

use rustls::{ClientConnection, pki_types::ServerName};

use crate::support::{Origin, PATIENCE, cluster::Cluster, h2, ok};

/// The certificate that the edge shows to the others.
fn shown(cluster: &Cluster) -> Vec<u8> {
    let name = ServerName::try_from("eu-1.eu.nigh.internal").unwrap();
    let mut tls = ClientConnection::new(Arc::new(h2::tls_showing(None)), name).unwrap();
    let mut stream = TcpStream::connect(cluster.addresses[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while tls.peer_certificates().is_none() {
        tls.complete_io(&mut stream).unwrap();
    }
    tls.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_certificate_that_was_exchanged_is_shown_after_a_reload_and_a_damaged_one_is_not() {
    let cluster = Cluster::start("exchanged", &Origin::saying(ok("no-store", "x")), 1, "");
    let first = shown(&cluster);
    cluster.write_joined(0, "edge.pem", "nonsense");
    cluster.edges[0].hang_up();
    cluster.edges[0].line("is damaged");
    cluster.write_joined(0, "edge.pem", &cluster.authority.certify("eu-2").to_pem());
    cluster.edges[0].hang_up();
    cluster.edges[0].line("is for the edge eu-2 of eu");
    assert_eq!(shown(&cluster), first);
    cluster.write_joined(0, "edge.pem", &cluster.authority.certify("eu-1").to_pem());
    cluster.edges[0].hang_up();
    let deadline = Instant::now() + PATIENCE;
    while shown(&cluster) == first {
        assert!(Instant::now() < deadline, "it goes on showing the first one");
        std::thread::yield_now();
    }
    assert!(cluster.edges[0].metric("nigh_cluster_certificate_seconds") > 80_000);
}
