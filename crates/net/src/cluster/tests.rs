//! Whom edges believe, over real sockets on loopback: joining, renewing, and what strangers get.

mod certificates;
mod joining;
mod mutual_tls;
mod registry;
