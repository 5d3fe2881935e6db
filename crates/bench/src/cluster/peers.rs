//! What people put before several caches today: nginx with `hash $uri consistent`, and HAProxy with
//! `hash-type consistent` before Varnish.
//!
//! - **nginx**: one process that balances by `hash $uri consistent` and has a cache of its own for each
//!   port, in a tmpfs, with `max_size` for its share, `proxy_cache_lock`, and connections that are kept.
//!   Whole blocks of files count. While there is room its cache manager looks every 10 s, whatever is set,
//!   whether there is too much: a replay that takes seconds has up to four times its share, so that its
//!   hits are an upper bound.
//! - **HAProxy and Varnish**: `balance uri`, `hash-type consistent` and `hash-balance-factor`; a varnishd for
//!   each port with `malloc` for its share, in which bodies and fields count, and a kilobyte beside them for
//!   each object does not. As it comes, Varnish gives up an answer (503) for which it would have to remove
//!   more than 50 objects, and moves an object to the front of its list every 2 s at most. Objects of very
//!   unlike sizes, and a replay that is faster than life, want other values: it may remove as many as it
//!   has to, moves each hit, and passes what is larger than an eighth of its share.

use super::{Error, PEER_CORE, fleet::Lab, last_words};
use crate::{
    edge::free_ports,
    host::check_interrupt,
    http1::Connection,
    process::{Place, Process, cpu_seconds},
};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// By how much one Varnish may have more than its share, in percent: what `spill_above` is for nigh.
const BALANCE_FACTOR: u32 = 125;

/// Varnish passes what is larger than this part of its share: it would throw out all the rest.
const LARGE_PART: u64 = 8;

/// How many objects Varnish may remove for another: more than it has.
const NUKE_LIMIT: &str = "nuke_limit=1000000";

/// Varnish moves an object to the front at each hit.
const LRU_INTERVAL: &str = "lru_interval=0";

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    Varnish,
}

/// A balancer and the caches behind it.
pub(super) struct Balanced {
    /// The balancer goes first when they end.
    processes: Vec<Process>,
    folder: PathBuf,
    address: SocketAddr,
}

impl Balanced {
    /// Starts them with so many caches of so many bytes.
    pub(super) fn start(
        lab: &Lab<'_>,
        kind: Kind,
        caches: usize,
        bytes: u64,
    ) -> Result<Self, Error> {
        let folder = lab.scratch.memory.join("balanced");
        let setup = |error| Error::Unusable(format!("{kind:?} cannot be set up"), error);
        // What an earlier one has left would be hits.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).map_err(setup)?;
        let [port] = free_ports().map_err(setup)?;
        let ports = (0..caches).map(|_| free_ports::<1>().map(|[port]| port));
        let ports = ports.collect::<io::Result<Vec<u16>>>().map_err(setup)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut peers = Self { processes: Vec::new(), folder, address };
        let commands = match kind {
            Kind::Nginx => peers.nginx(lab, port, &ports, bytes),
            Kind::Varnish => peers.varnish(lab, port, &ports, bytes),
        };
        for (number, command) in commands.map_err(setup)?.into_iter().enumerate() {
            let log = peers.folder.join(format!("{number}.log"));
            peers.processes.push(Process::start(command, &log).map_err(setup)?);
        }
        peers.wait(kind)?;
        Ok(peers)
    }

    /// Where clients come in.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processor seconds of them all so far.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.processes.iter().map(|process| cpu_seconds(&process.tree())).sum()
    }

    /// One nginx: a server that balances, and one with a cache of its own for each port.
    fn nginx(
        &self,
        lab: &Lab<'_>,
        port: u16,
        ports: &[u16],
        bytes: u64,
    ) -> io::Result<Vec<Command>> {
        let (dir, origin) = (self.folder.display(), lab.origin.address());
        let mut text = format!(
            "user root;\nworker_processes 1;\npid {dir}/nginx.pid;\nerror_log {dir}/0.log warn;\n\
             worker_rlimit_nofile 400000;\nevents {{ worker_connections 16384; }}\nhttp {{\n\
             access_log off;\nclient_body_temp_path {dir}/body;\nfastcgi_temp_path {dir}/fastcgi;\n\
             uwsgi_temp_path {dir}/uwsgi;\nscgi_temp_path {dir}/scgi;\nproxy_temp_path {dir}/proxy;\n\
             sendfile on;\nkeepalive_requests 100000000;\nproxy_http_version 1.1;\n\
             proxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n\
             upstream origin {{ server {origin}; keepalive 128; keepalive_requests 100000000; }}\n\
             upstream caches {{ hash $uri consistent; keepalive 128; keepalive_requests 100000000;\n"
        );
        for port in ports {
            text += &format!("server 127.0.0.1:{port};\n");
        }
        text += &format!(
            "}}\nserver {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://caches; }} }}\n"
        );
        for (number, port) in ports.iter().enumerate() {
            // What is too much goes as fast as nginx allows, once it has looked.
            text += &format!(
                "proxy_cache_path {dir}/c{number} levels=1:2 keys_zone=c{number}:32m max_size={bytes} \
                 inactive=2h use_temp_path=off manager_files=10000 manager_sleep=10ms \
                 manager_threshold=1s;\n\
                 server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://origin;\n\
                 proxy_cache c{number}; proxy_cache_key $request_uri; proxy_cache_lock on; }} }}\n"
            );
        }
        text += "}\n";
        let settings = self.folder.join("nginx.conf");
        fs::write(&settings, text)?;
        let place = Place::core(PEER_CORE);
        Ok(vec![crate::edge::nginx(place, &self.folder, &settings)])
    }

    fn varnish(
        &self,
        lab: &Lab<'_>,
        port: u16,
        ports: &[u16],
        bytes: u64,
    ) -> io::Result<Vec<Command>> {
        let place = Place::core(PEER_CORE);
        let mut text = format!(
            "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode http\n  timeout connect 5s\n\
             \x20 timeout client 300s\n  timeout server 60s\n  http-reuse always\nfrontend clients\n\
             \x20 bind 127.0.0.1:{port}\n  default_backend caches\nbackend caches\n  balance uri\n\
             \x20 hash-type consistent\n  hash-balance-factor {BALANCE_FACTOR}\n"
        );
        for (number, port) in ports.iter().enumerate() {
            text += &format!("  server c{number} 127.0.0.1:{port}\n");
        }
        let settings = self.folder.join("haproxy.cfg");
        fs::write(&settings, text)?;
        let mut haproxy = place.command("haproxy");
        haproxy.arg("-db").arg("-f").arg(settings);
        let mut commands = vec![haproxy];
        let rules = self.folder.join("varnish.vcl");
        fs::write(&rules, varnish_rules(lab.origin.address().port(), bytes / LARGE_PART))?;
        for (number, port) in ports.iter().enumerate() {
            let mut varnish = place.command("varnishd");
            varnish.args(["-F", "-n"]).arg(self.folder.join(format!("v{number}")));
            varnish.args(["-a", &format!("127.0.0.1:{port}"), "-T", "none", "-f"]).arg(&rules);
            varnish.args(["-s", &format!("default=malloc,{bytes}b")]);
            varnish.args(["-p", NUKE_LIMIT, "-p", LRU_INTERVAL]);
            commands.push(varnish);
        }
        Ok(commands)
    }

    fn wait(&mut self, kind: Kind) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            check_interrupt()?;
            // A page that no trace asks for.
            let answer = Connection::open(self.address).and_then(|mut it| it.get("/first", None));
            if answer.is_ok_and(|response| response.is_success()) {
                return Ok(());
            }
            let lives = self.processes.iter_mut().all(Process::is_running);
            if !lives || Instant::now() > deadline {
                let logs =
                    (0..self.processes.len()).map(|at| self.folder.join(format!("{at}.log")));
                let said: Vec<String> = logs.map(|log| last_words(&log)).collect();
                return Err(Error::Silent { name: format!("{kind:?}"), said: said.join(" ") });
            }
            thread::sleep(POLL);
        }
    }
}

/// Varnish's own rules, the origin, and what it passes.
fn varnish_rules(origin_port: u16, large_bytes: u64) -> String {
    format!(
        "vcl 4.1;\nimport std;\n\
         backend default {{ .host = \"127.0.0.1\"; .port = \"{origin_port}\"; }}\n\
         sub vcl_backend_response {{\n\
         \x20 if (std.integer(beresp.http.Content-Length, 0) > {large_bytes}) {{\n\
         \x20   set beresp.uncacheable = true;\n  }}\n}}\n"
    )
}
