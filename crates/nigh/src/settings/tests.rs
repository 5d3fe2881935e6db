//! Settings files, right and wrong.

use std::path::Path;

use clap::Parser;
use nigh_base::Rng;
use nigh_edge::forward_proxy::Ports;
use serde_json::Value;

use super::*;
use crate::cli::{Cli, Verb};

mod control;

fn parse(text: &str) -> Result<Settings, Vec<String>> {
    file::parse(text, Path::new("/etc/nigh"))
        .map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
}

/// The mistakes in a file that ends with a site in order.
fn mistakes(text: &str) -> Vec<String> {
    parse(&format!("{text}\n[[site]]\nhost = \"*\"\norigin = \"http://a\"\n")).unwrap_err()
}

/// The mistakes in a site that begins in line 3.
fn mistakes_of_site(text: &str) -> Vec<String> {
    parse(&format!("[[site]]\nhost = \"a\"\n{text}")).unwrap_err()
}

const WHOLE: &str = r#"
[node]
name = "eu-1"
listen = ["http://:80", "https://[::1]:443"]
admin = "127.0.0.1:9000"
admin_token = { env = "TOKEN" }
workers = 4
access_log = "access.log"
log_format = "json"
[cache]
memory = "2GiB"
max_object = "1MiB"
slice = "2MiB"
eviction = "lru"
disk = { path = "/var/cache/nigh", size = "20GiB" }
[tls]
cert = "site.pem"
key = { env = "SITE_KEY" }
[limits]
max_body = "1MiB"
max_fields = 50
head_time = "3s"
[[site]]
host = ["www.example.com", "*.Example.org"]
origins = [{ url = "https://a.example", weight = 3 }, { url = "http://b.example:81" }]
keep_host = true
origin_ca = "/ca.pem"
timeouts = { connect = "1s", idle = "9s" }
probe = { path = "/up", every = "1s" }
origin_cert = "edge.pem"
origin_key = { env = "EDGE_KEY" }
deny = "192.0.2.0/24"
methods = ["GET", "POST"]
remove_response_fields = "X-Powered-By"
[[site.path]]
match = "/private/"
allow = ["10.0.0.0/8", "2001:db8::/32"]
methods = "GET"
set_response_fields = "X-A: b"
signed = [{ id = "new", file = "url.key" }, { id = "old", env = "OLD" }]
compress = ["br", "gzip"]
compress_types = ["text/*"]
compress_min = "2KiB"
deception_guard = false
follow_links = true
[[site.path]]
match = "/static/"
ttl = "1d"
query = "sort"
strip = ["utm_*"]
ignore_cookies = "_ga*"
[[site.path]]
match = "*.php"
bypass = true
[[site]]
host = "*"
origin = "http://c.example"
"#;

#[test]
fn a_whole_file_is_read() {
    let Settings { node, cache, tls, limits, forward, cluster, sites } = parse(WHOLE).unwrap();
    assert_eq!((&*node.name, node.listen.len(), node.workers), ("eu-1", 2, Some(4)));
    assert_eq!(node.access_log.unwrap(), Path::new("/etc/nigh/access.log"));
    assert_eq!((cache.memory, cache.eviction), (ByteSize::mib(2048), evict::Kind::Lru));
    let slicing = Slicing { size: ByteSize::mib(2), above: ByteSize::mib(8) };
    assert_eq!(cache.slicing, Some(slicing));
    let disk = cache.disk.unwrap();
    assert_eq!((&*disk.path, disk.size), (Path::new("/var/cache/nigh"), ByteSize::mib(20_480)));
    let tls = tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/etc/nigh/site.pem"));
    assert_eq!(tls.key, Secret::Environment("SITE_KEY".to_owned()));
    assert_eq!((limits.max_fields, limits.idle_time), (50, Duration::from_secs(75)));
    assert_eq!((forward, cluster), (None, None));
    let [first, second] = &sites[..] else { panic!("{sites:?}") };
    assert_eq!(first.hosts[1], Host::Below("example.org".into()));
    assert_eq!(first.origins.iter().map(|origin| origin.weight).collect::<Vec<_>>(), [3, 1]);
    let to = &first.origins[1].settings;
    assert_eq!((to.port, to.keep_host, to.idle_limit.as_secs()), (81, true, 9));
    assert_eq!(first.origin_ca.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(first.probe.as_ref().unwrap().limit, Duration::from_secs(2));
    let rule = |path| first.rules.rule(first.rules.find(path));
    assert_eq!(rule("/static/a").ttl, Some(Duration::from_secs(86_400)));
    assert!(rule("/static/a").ignore_cookies[0].is(b"_gat"));
    assert!(rule("/a.php?b").bypass && !rule("/a").bypass);
    assert_eq!(second.hosts, [Host::Any]);
}

#[test]
fn what_a_site_protects_holds_for_its_paths_beside_their_own() {
    let Settings { sites, .. } = parse(WHOLE).unwrap();
    let site = &sites[0];
    let rule = |path| site.rules.rule(site.rules.find(path));
    let admits = |path, client: &str| {
        let guard = rule(path).guard.as_ref().unwrap();
        guard.admissions.iter().all(|lists| lists.admits(client.parse().unwrap()))
    };
    assert!(admits("/private/", "10.1.1.1") && !admits("/private/", "198.51.100.1"));
    assert!(admits("/else", "198.51.100.1") && !admits("/else", "192.0.2.7"));
    let methods = |path| rule(path).guard.as_ref().unwrap().methods.unwrap().allow();
    assert_eq!((&*methods("/private/"), &*methods("/")), ("GET, HEAD", "GET, HEAD, POST"));
    let fields = rule("/private/").fields.as_ref().unwrap();
    assert_eq!((fields.response_remove.len(), fields.response_set.len()), (1, 1));
    assert_eq!(rule("/").fields.as_ref().unwrap().response_set.len(), 0);
    let private = rule("/private/");
    assert!(private.compress.is_some() && private.mixed_types && private.follow_links);
    assert!(rule("/").compress.is_none() && !rule("/").mixed_types && !rule("/").follow_links);
    let [(0, keys)] = &site.signing[..] else { panic!("{:?}", site.signing) };
    assert_eq!(keys[0], ("new".to_owned(), Secret::File("/etc/nigh/url.key".into())));
    assert_eq!(keys[1], ("old".to_owned(), Secret::Environment("OLD".to_owned())));
    let shown = site.shown.as_ref().unwrap();
    assert_eq!(shown.key, Secret::Environment("EDGE_KEY".to_owned()));
    // Until its keys are read, nobody is let in.
    assert_eq!(private.guard.as_ref().unwrap().keys.as_deref(), Some(&[][..]));
    let mut out = Vec::new();
    private.query.write("a=1&nigh-key=x", &mut out);
    assert_eq!(out, b"?a=1");
}

#[test]
fn what_protects_nothing_is_told() {
    let site = "origin = \"http://a\"\n";
    for (line, said) in [
        ("deny = \"192.0.2.1/24\"", "write 192.0.2.0/24"),
        ("allow = \"here\"", "`here` is no network"),
        ("methods = \"FETCH\"", "`FETCH` is no method that can be listed: there are GET, HEAD"),
        ("methods = []", "nobody could ask for anything"),
        ("refuse_fields = \"a b\"", "`a b` is no name of a field"),
        ("remove_response_fields = \"Via\"", "`Via` belongs to HTTP or to this edge"),
        ("remove_request_fields = \"Content_Length\"", "`Content_Length` belongs to HTTP"),
        ("set_response_fields = \"X-A\"", "`X-A` sets nothing: write \"X-Frame-Options: DENY\""),
        ("origin_cert = \"a.pem\"", "`origin_cert` is of no use without `origin_key`"),
        (
            "[[site.path]]\nmatch = \"/\"\nsigned = \"k\"",
            "there may be several `signed`: write [{ id",
        ),
        (
            "[[site.path]]\nmatch = \"/\"\nsigned = [{ id = \"a b\", file = \"f\" }]",
            "`a b` names no key",
        ),
        (
            "[[site.path]]\nmatch = \"/\"\nsigned = [{ id = \"a\" }]",
            "has an id, and a file or a variable",
        ),
        ("[[site.path]]\nmatch = \"/\"\ncompress = \"deflate\"", "there are zstd, br and gzip"),
        ("[[site.path]]\nmatch = \"/\"\ncompress_min = \"1KiB\"", "does nothing alone"),
        (
            "[[site.path]]\nmatch = \"/\"\ncompress = true\ncompress_types = \"html\"",
            "names no types",
        ),
    ] {
        let found = mistakes_of_site(&format!("{site}{line}\n"));
        assert!(found.iter().any(|it| it.contains(said)), "{line}: {found:?}");
    }
}

#[test]
fn flags_and_a_file_that_says_no_more_are_the_same_settings() {
    let words = ["nigh", "edge", "--to", "https://origin.example"];
    let Verb::Edge(flags) = Cli::try_parse_from(words).unwrap().verb else { panic!("an edge") };
    let file = parse("[[site]]\nhost = \"*\"\norigin = \"https://origin.example\"").unwrap();
    assert_eq!(Settings::from(&*flags), file);
}

const CLUSTER: &str = "[cluster.eu]\n\
    edges = [\"eu-1=192.0.2.11:8443\", \"eu-2=[2001:db8::12]:8443*2\"]\n\
    listen = \"192.0.2.11:8443\"\ndir = \"eu\"\n";

/// A file that ends with this, for the edge `eu-1`.
fn of_cluster(text: &str) -> String {
    format!("[node]\nname = \"eu-1\"\n[[site]]\nhost = \"*\"\norigin = \"http://a\"\n{text}")
}

#[test]
fn a_cluster_is_the_one_that_lists_this_edge() {
    let other = "[cluster.us]\nedges = [\"us-1=192.0.2.21:8443\"]\nca = \"us.pem\"\n";
    let cluster = parse(&of_cluster(&format!("{other}{CLUSTER}"))).unwrap().cluster.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.own.as_str()), ("eu", "eu-1"));
    let edges = cluster.edges.iter().map(|edge| (edge.name.as_str(), edge.capacity));
    assert_eq!(edges.collect::<Vec<_>>(), [("eu-1", 1), ("eu-2", 2)]);
    assert_eq!(cluster.edges[1].address, "[2001:db8::12]:8443".parse().unwrap());
    assert_eq!((&*cluster.dir, cluster.authority), (Path::new("/etc/nigh/eu"), None));
    assert!((cluster.spill_above - 1.25).abs() < f64::EPSILON);
}

#[test]
fn what_is_wrong_with_a_cluster_is_told_where_it_stands() {
    for (from, to, said) in [
        ("eu-1=192", "192", "7:10: `192.0.2.11:8443` is no edge"),
        ("eu-2=", "EU-2=", "7:34: `EU-2` is no name of an edge: a name has 1 to 63 lower-case"),
        ("*2", "*two", "7:34: `*two` is no capacity"),
        ("eu-2=", "eu-1=", "7:34: the edge `eu-1` was named before"),
        ("[2001:db8::12]:8443*2", "192.0.2.11:8443", "7:34: another edge is at"),
        (
            "192.0.2.11:8443\"\ndir",
            "192.0.2.11\"\ndir",
            "8:10: `192.0.2.11` is no address and port",
        ),
        ("eu-1=", "eu-9=", "no cluster has an edge called `eu-1`"),
        ("dir = ", "folder = ", "[cluster.eu] has no `dir`"),
        ("dir = ", "spill_above = 0.5\ndir = ", "9:15: `spill_above` is a number without quotes"),
        ("[cluster.eu]", "[cluster]", "each `cluster` has a name: write [cluster.NAME]"),
        ("[cluster.eu]", "[cluster.E]", "`E` is no name of a cluster"),
    ] {
        let text = of_cluster(&CLUSTER.replacen(from, to, 1));
        let found = parse(&text).unwrap_err();
        assert!(found.iter().any(|it| it.contains(said)), "{to}: {found:?}");
    }
    let twice = format!("{CLUSTER}{}", CLUSTER.replace("cluster.eu", "cluster.us"));
    let found = parse(&of_cluster(&twice)).unwrap_err();
    assert!(found[0].contains("`eu-1` is in another cluster already"), "{found:?}");
}

#[test]
fn mistakes_about_several_clusters_stand_where_each_is() {
    // Lines 1 to 5 are the node and the site, 6 to 9 this edge's cluster, and 10 on the other one.
    for (own, other, place, said) in [
        ("", "parent = \"asia\"\n", "13:10", "`asia` is no other cluster"),
        ("parent = \"us\"\n", "parent = \"eu\"\n", "10:10", "is its own parent's parent"),
        ("", "parent = \"eu\"\ncontrol = \"file:x\"\n", "14:11", "have different `control`"),
        ("control = \"file:x\"\n", "parent = \"eu\"\n", "11:1", "have different `control`"),
    ] {
        let text = of_cluster(&format!("{CLUSTER}{own}{OTHER}{other}"));
        let found = parse(&text).unwrap_err();
        let is_there = |it: &String| it.starts_with(&format!("{place}: ")) && it.contains(said);
        assert!(found.iter().any(is_there), "{own}{other}: {found:?}");
    }
    let both = of_cluster(&format!("{CLUSTER}{OTHER}parent = \"eu\"\n"));
    let found = parse(&both.replace("ca = \"us.pem\"\n", "")).unwrap_err();
    assert!(found[0].starts_with("10:1: [cluster.us] has no `ca`"), "{found:?}");
    let found = parse(&both.replace("[\"eu-1", "[\"eu-9")).unwrap_err();
    assert!(found[0].starts_with("2:8: no cluster has an edge called `eu-1`"), "{found:?}");
}

/// Another cluster, of which less is known here.
const OTHER: &str = "[cluster.us]\nedges = [\"us-1=192.0.2.21:8443\"]\nca = \"us.pem\"\n";

#[test]
fn a_cluster_has_a_parent_and_children_that_the_file_lists() {
    let with = |own: &str, other: &str| of_cluster(&format!("{CLUSTER}{own}{OTHER}{other}"));
    let read = |own: &str, other: &str| parse(&with(own, other)).unwrap().cluster.unwrap();
    let child = read("parent = \"us\"\n", "");
    let us = child.parent.unwrap();
    assert_eq!((us.name.as_str(), us.edges.len()), ("us", 1));
    assert_eq!(us.authority, Path::new("/etc/nigh/us.pem"));
    assert_eq!((child.family.as_str(), child.children.len()), ("us", 0));
    let parent = read("", "parent = \"eu\"\n");
    assert_eq!((parent.parent, parent.children.len()), (None, 1));
    assert_eq!(parent.family.as_str(), "eu");
    for (own, other, said) in [
        ("parent = \"asia\"\n", "", "`asia` is no other cluster of this file"),
        ("parent = \"eu\"\n", "", "`eu` is no other cluster of this file"),
        ("parent = \"us\"\n", "parent = \"eu\"\n", "is its own parent's parent"),
        ("parent = \"us\"\n", "control = \"file:x\"\n", "have different `control`"),
    ] {
        let found = parse(&with(own, other)).unwrap_err();
        assert!(found.iter().any(|it| it.contains(said)), "{own}{other}: {found:?}");
    }
    let found = with("parent = \"us\"\n", "").replace("ca = \"us.pem\"", "");
    let found = parse(&found).unwrap_err();
    assert!(found.iter().any(|it| it.contains("[cluster.us] has no `ca`")), "{found:?}");
    // A name is an edge's own in its cluster alone.
    let same = with("parent = \"us\"\n", "").replace("us-1=", "eu-2=");
    let same = parse(&same).unwrap().cluster.unwrap();
    let named = |cluster: &Cluster| cluster.qualified_edges().map(|it| it.to_string()).collect();
    let named: Vec<String> = named(&same);
    assert_eq!(named, ["eu/eu-1", "eu/eu-2"]);
    let same = with("parent = \"us\"\n", "").replace("us-1=", "eu-1=");
    assert_eq!(parse(&same).unwrap().cluster.unwrap().name.as_str(), "eu");
}

#[test]
fn where_no_edges_are_listed_this_one_says_in_control_state_how_it_is_reached() {
    let listed = CLUSTER.lines().find(|line| line.starts_with("edges")).unwrap();
    let unlisted = |more: &str| of_cluster(&CLUSTER.replace(listed, more));
    let parsed = |more: &str| parse(&unlisted(more)).map(|settings| settings.cluster.unwrap());
    let cluster = parsed("control = \"file:eu.redb\"\ncapacity = 2").unwrap();
    assert!(!cluster.is_listed && parse(&of_cluster(CLUSTER)).unwrap().cluster.unwrap().is_listed);
    assert_eq!(cluster.edges, [edge_at("eu-1", "192.0.2.11:8443*2").unwrap()]);
    assert_eq!(edge_at("eu-1", &reached(cluster.this())).as_ref(), Ok(cluster.this()));
    // Nobody would know of the others.
    let nowhere = parsed("").unwrap_err().join("\n");
    assert!(nowhere.contains("or name the `control` state in which each says"), "{nowhere}");
    let control = "control = \"file:eu.redb\"";
    let anywhere = unlisted(control).replace("192.0.2.11:8443", "0.0.0.0:8443");
    assert!(parse(&anywhere).unwrap_err()[0].contains("the others have to reach this edge by it"));
    let named = unlisted(control).replace("name = \"eu-1\"", "name = \"EU_1\"");
    assert!(parse(&named).unwrap_err()[0].contains("`EU_1`, in [node], is no name of an edge"));
    let twice = parsed(&format!("{listed}\ncapacity = 2")).unwrap_err();
    assert!(twice[0].contains("its capacity stands there"), "{twice:?}");
}

#[test]
fn other_edges_are_taken_without_a_restart_and_nothing_else_of_a_cluster_is() {
    let was = parse(&of_cluster(CLUSTER)).unwrap();
    let edges = parse(&of_cluster(&CLUSTER.replace("*2", ""))).unwrap();
    assert!(waiting(&was, &edges).is_empty());
    assert_eq!(edges.takes_members(&was).unwrap().edges[1].capacity, 1);
    let listen = parse(&of_cluster(&CLUSTER.replace("listen = \"192", "listen = \"193"))).unwrap();
    assert_eq!(waiting(&was, &listen), ["cluster.eu.listen"]);
    let text = of_cluster(CLUSTER).replace("name = \"eu-1\"", "name = \"eu-2\"");
    let other = parse(&text).unwrap();
    assert_eq!(waiting(&was, &other), ["node.name"]);
    assert!(other.takes_members(&was).is_none());
}

#[test]
fn a_forward_proxy_needs_no_site() {
    let text = "[forward]\nclients = [\"10.0.0.0/8\", \"fd00::/8\"]\nallow = \"10.1.0.0/16\"\n\
        deny = [\"*.ads.example\", \"10.1.9.0/24\"]\nconnect_ports = [443, \"8000-8999\"]\nhttp_ports = 80\nusers = \"people\"\n\
        max_tunnels = 7\ntunnel_idle = \"5m\"\ntunnel_time = \"1h\"\nconnect_time = \"3s\"\n\
        no_proxy = [\"*.intra.example\"]\ntransparent = [\"0.0.0.0:3129\", \"tproxy://[::]:3130\"]\n";
    let Settings { forward, sites, .. } = parse(text).unwrap();
    let forward = forward.unwrap();
    assert!(sites.is_empty());
    assert_eq!(forward.clients.as_ref().map(Vec::len), Some(2));
    let ports = |ports: &[Ports]| ports.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (forward.deny.len(), ports(&forward.connect_ports)),
        (2, vec!["443".into(), "8000-8999".into()])
    );
    assert_eq!(ports(&forward.http_ports), ["80"]);
    assert_eq!(forward.users.as_deref(), Some(Path::new("/etc/nigh/people")));
    assert_eq!((forward.max_tunnels, forward.tunnel_time.as_secs()), (7, 3600));
    assert_eq!(forward.transparent.len(), 2);
    let words = ["nigh", "edge", "--forward"];
    let Verb::Edge(flags) = Cli::try_parse_from(words).unwrap().verb else { panic!("an edge") };
    assert_eq!(Settings::from(&*flags), parse("[forward]").unwrap());
    for words in [&["nigh", "edge"][..], &["nigh", "edge", "--forward", "--to", "http://a"]] {
        assert!(Cli::try_parse_from(words).is_err(), "{words:?}");
    }
}

#[test]
fn a_forward_proxy_that_cannot_be_says_why() {
    for (text, place, words) in [
        ("clients = \"10.1.1.1/8\"", "2:11", "write 10.0.0.0/8"),
        ("allow = [\"a.example\"]", "2:10", "`a.example` is no network"),
        ("deny = \"http://a\"", "2:8", "`http://a` is no destination"),
        ("connect_ports = [443, 0]", "2:23", "from 1 to 65535"),
        ("connect_ports = [443, true]", "2:23", "write it in quotes"),
        ("http_ports = \"90-80\"", "2:14", "`90-80` is no port"),
        ("no_proxy = \"fd00::/8\"", "2:12", "an IPv4 network"),
        ("transparent = \":3129\"", "2:15", "0.0.0.0:3129"),
        ("user = \"a\"", "2:1", "the nearest is `users`"),
    ] {
        let found = parse(&format!("[forward]\n{text}\n")).unwrap_err();
        let there = found.iter().any(|one| one.starts_with(place) && one.contains(words));
        assert!(there, "{text}: {place} {words:?} is not in {found:#?}");
    }
    let found = mistakes("[forward]");
    assert!(found[0].contains("leaves [forward] nothing to do"), "{found:?}");
}

#[test]
fn limits_for_clients_are_read() {
    let text = "[limits]\nmin_rate = \"1KiB/s\"\nper_client = { requests = \"600/m\", connections = 4, \
                bandwidth = \"1MiB/s\", exempt = [\"10.0.0.0/8\", \"::1\"], ipv6_prefix = 48 }\n\
                [[site]]\nhost = \"*\"\norigin = \"http://a\"";
    let limits = parse(text).unwrap().limits;
    let clients = &limits.per_client;
    assert_eq!((limits.min_rate, clients.burst, clients.connections), (1024, 10, Some(4)));
    assert_eq!((clients.ipv4_prefix, clients.ipv6_prefix, clients.exempt.len()), (32, 48, 2));
    assert!(clients.are_set() && !Limits::default().per_client.are_set());
    let settings = parse(text).unwrap();
    let shown = &shown(&settings)["limits"];
    let clients = &shown["per_client"];
    assert_eq!((&shown["min_rate"], &clients["requests"]), (&"1KiB/s".into(), &"600/m".into()));
    assert_eq!(clients["bandwidth"], "1MiB/s");
    assert_eq!(clients["exempt"], serde_json::json!(["10.0.0.0/8", "::1/128"]));
    let mut other = settings.clone();
    other.limits.min_rate = 1;
    assert!(waiting(&settings, &other).is_empty());
    other.limits.per_client.burst = 7;
    assert_eq!(waiting(&settings, &other), ["limits.per_client.burst"]);
}

#[test]
fn an_unknown_key_names_the_nearest_at_every_depth() {
    assert_eq!(
        mistakes("[node]\nlissen = \"http://:80\"\n[cached]\nmemory = \"1GiB\""),
        [
            "2:1: there is no `lissen` in [node]; the nearest is `listen`",
            "3:2: there is no `cached` in the file; the nearest is `cache`",
        ]
    );
    assert_eq!(
        mistakes_of_site(
            "origins = [{ ulr = \"http://a\", url = \"http://a\" }]\n[[site.path]]\n\
             match = \"/\"\nqueries = \"sort\""
        ),
        [
            "3:14: there is no `ulr` in an origin; the nearest is `url`",
            "6:1: there is no `queries` in [[site.path]]; the nearest is `query`",
        ]
    );
}

#[test]
fn a_disk_wants_a_directory_and_a_size() {
    assert_eq!(
        mistakes("[cache]\ndisk = { size = \"1KiB\", sizes = 1 }"),
        [
            "2:8: the disk has no `path`: say its directory",
            "2:17: a disk takes 1MiB at least",
            "2:25: there is no `sizes` in `disk`; the nearest is `size`",
        ]
    );
}

#[test]
fn values_that_are_none_say_what_to_write() {
    for (text, place, words) in [
        ("[node]\nlisten = \"ftp://a\"", "2:10", "`ftp` is neither http nor https"),
        ("[node]\nlisten = [\"http://:80\", 3]", "2:25", "`listen` is text: write it in quotes"),
        ("[node]\nlisten = []", "2:10", "name an address"),
        ("[node]\nadmin = \"0.0.0.0:1\"", "2:9", "others can reach this address"),
        ("[node]\nworkers = \"4\"", "2:11", "a whole number without quotes, from 1 to 1024"),
        ("[node]\nworkers = 0", "2:11", "from 1 to 1024"),
        ("[node]\ngroup = \"a\"", "2:9", "say user = "),
        ("[node]\nlog_format = \"xml\"", "2:14", "combined or json"),
        ("[cache]\nmemory = 5", "2:10", "write it in quotes"),
        ("[cache]\nmemory = \"many\"", "2:10", "is no unit of size: use B, KiB"),
        ("[cache]\neviction = \"random\"", "2:12", "gdsf"),
        ("[cache]\nslice = \"1KiB\"", "2:9", "none"),
        ("[limits]\nmax_target = \"64KiB\"", "2:14", "at most 63KiB"),
        ("[limits]\nmin_rate = \"fast\"", "2:12", "write 10MiB/s"),
        ("[limits]\nbuffers = \"1KiB\"", "2:11", "1MiB at least"),
        ("[limits]\nper_client = { requests = 5 }", "2:27", "write it in quotes"),
        ("[limits]\nper_client = { requests = \"5\" }", "2:27", "write 100/s, 600/m"),
        ("[limits]\nper_client = { requests = \"0/s\" }", "2:27", "no rate of requests"),
        ("[limits]\nper_client = { burst = 5 }", "2:24", "say requests = "),
        ("[limits]\nper_client = { exempt = \"10.0.0.1/8\" }", "2:25", "write 10.0.0.0/8"),
        ("[limits]\nper_client = { ipv6_prefix = 129 }", "2:30", "from 16 to 128"),
        ("[limits]\nper_client = { connection = 5 }", "2:16", "the nearest is `connections`"),
        ("[limits]\nhead_time = \"5w\"", "2:13", "use ms, s, m, h or d"),
        ("[tls]\ncert = \"a\"", "1:1", "has no `key`"),
        ("[tls]\ncert = \"a\"\nkey = { envs = \"A\" }", "3:9", "the nearest is `env`"),
        ("[node]\nlisten = \"https://:443\"", "1:1", "add [tls] with cert and key"),
        ("node = 3", "1:8", "write [node] on a line of its own"),
    ] {
        let found = mistakes(text);
        let there = found.iter().any(|one| one.starts_with(place) && one.contains(words));
        assert!(there, "{text}: {place} {words:?} is not in {found:#?}");
    }
}

#[test]
fn sites_that_cannot_be_served_say_why() {
    let two = "origin = \"http://b\"\n[[site]]\nhost = [\"b\", \"A\"]\norigin = \"http://c\"";
    let rule = |text: &str| format!("origin = \"http://b\"\n[[site.path]]\n{text}");
    for (text, place, words) in [
        ("", "1:1", "write origin = \"https://origin.example.com\""),
        ("origin = \"http://b/c\"", "3:10", "requests bring their own paths"),
        ("origin = \"http://b\"\norigins = [{ url = \"http://c\" }]", "4:11", "not both"),
        ("origins = [{ weight = 2 }]", "3:12", "an origin has a URL"),
        ("origins = [{ url = \"http://b\", weight = 0 }]", "3:41", "from 1 to 1000"),
        ("origins = []", "3:11", "there may be several `origins`"),
        ("origin = \"http://b\"\nkeep_host = \"yes\"", "4:13", "true or false"),
        ("origin = \"http://b\"\nprobe = { every = \"0s\" }", "4:9", "a probe asks for something"),
        ("origin = \"http://b\"\nprobe = { every = \"0s\" }", "4:19", "write 5s"),
        (two, "5:14", "the host `a` was named before"),
        (&rule(""), "4:1", "write match = "),
        (&rule("match = \"a\""), "5:9", "begin with / or with *"),
        (&rule("match = \"/\"\nquery = \"drop\""), "6:9", "write keep, sort or strip"),
        (&rule("match = \"/\"\nbypass = true\nttl = \"1s\""), "7:7", "leaves `ttl` nothing to do"),
        (&rule("match = \"/\"\nstrip = \"*\""), "6:9", "utm_*"),
    ] {
        let found = mistakes_of_site(text);
        let there = found.iter().any(|one| one.starts_with(place) && one.contains(words));
        assert!(there, "{text}: {place} {words:?} is not in {found:#?}");
    }
    assert!(parse("").unwrap_err()[0].contains("there is no site"));
    assert!(parse("[site]\nhost = \"a\"").unwrap_err()[0].contains("write [[site]]"));
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let found = parse("[[site]]\nhost = \"a/b\"\nttl = 1\n[cache]\nmemory = \"x\"\nx = 1");
    let places: Vec<_> = found.unwrap_err().into_iter().map(|one| one[..3].to_owned()).collect();
    assert_eq!(places, ["1:1", "2:8", "3:1", "5:1", "6:1"]);
}

#[test]
fn what_is_no_toml_is_reported_by_line() {
    let found = parse("[node]\nname = eu\nadmin = \"127.0.0.1:1\nlisten = \"x\"\n").unwrap_err();
    assert!(found[0].starts_with("2:8: ") && found[1].starts_with("3:"), "{found:#?}");
    let twice = parse("[node]\nname = \"a\"\nname = \"b\"\n").unwrap_err();
    assert!(twice[0].starts_with("3:1: "), "{twice:#?}");
}

/// The paths of all keys of a table, but for those of lists.
fn keys(path: &str, value: &Value, out: &mut Vec<String>) {
    match value.as_object() {
        Some(map) => map.iter().for_each(|(key, value)| keys(&format!("{path}.{key}"), value, out)),
        None => out.push(path.to_owned()),
    }
}

#[test]
fn every_key_that_was_written_is_shown() {
    let shown = shown(&parse(WHOLE).unwrap());
    let mut lines = WHOLE.lines().scan(String::new(), |section, line| {
        if let Some(title) = line.strip_prefix('[') {
            *section = title.trim_matches(['[', ']']).to_owned();
        }
        Some((section.clone(), line))
    });
    let mut rule = shown["site"][0]["path"].as_array().unwrap().iter();
    let mut current = &Value::Null;
    lines.by_ref().take_while(|(_, line)| !line.contains("host = \"*\"")).for_each(
        |(section, line)| {
            if line == "[[site.path]]" {
                current = rule.next().unwrap();
            }
            let Some((key, _)) = line.split_once(" = ") else { return };
            let table = match section.as_str() {
                "site" => &shown["site"][0],
                "site.path" => current,
                section => &shown[section],
            };
            assert!(!table[key].is_null(), "{key} of [{section}] is not shown");
        },
    );
    let mut all = Vec::new();
    keys("", &shown["limits"], &mut all);
    assert_eq!(all.len(), 18);
    assert_eq!(shown["tls"]["key"], serde_json::json!({ "env": "SITE_KEY" }));
    assert_eq!(shown["site"][0]["timeouts"]["idle"], "9s");
}

#[test]
fn what_is_written_is_what_is_shown() {
    let shown = shown(&parse(WHOLE).unwrap());
    let site = &shown["site"][0];
    assert_eq!(shown["cache"]["slice"], "2MiB");
    assert_eq!(site["origin_key"], serde_json::json!({ "env": "EDGE_KEY" }));
    assert_eq!((&site["deny"][0], &site["allow"]), (&"192.0.2.0/24".into(), &Value::Null));
    let path = &site["path"][0];
    assert_eq!(path["allow"], serde_json::json!(["10.0.0.0/8", "2001:db8::/32"]));
    assert_eq!(path["deny"], Value::Null, "the site's are the site's");
    assert_eq!(path["remove_response_fields"], Value::Null);
    assert_eq!(path["methods"], serde_json::json!(["GET", "HEAD"]));
    assert_eq!(path["set_response_fields"], serde_json::json!(["x-a: b"]));
    assert_eq!(path["strip"], Value::Null, "it follows from `signed`");
    assert_eq!(path["signed"][0], serde_json::json!({ "id": "new", "file": "/etc/nigh/url.key" }));
    assert_eq!(path["compress"], serde_json::json!(["br", "gzip"]));
    assert_eq!((&path["deception_guard"], &path["follow_links"]), (&false.into(), &true.into()));
}

#[test]
fn a_forward_proxy_is_shown_with_its_defaults_and_waits_for_a_restart() {
    let site = "[[site]]\nhost = \"a\"\norigin = \"http://o\"\n";
    let before = parse(site).unwrap();
    let after = format!(
        "[forward]\ndeny = [\"*.example\", \"192.0.2.0/24\"]\nusers = \"users\"\n\
         transparent = \"tproxy://[::]:3129\"\n{site}"
    );
    let after = parse(&after).unwrap();
    let forward = &shown(&after)["forward"];
    assert_eq!(forward["deny"], serde_json::json!(["*.example", "192.0.2.0/24"]));
    assert_eq!(forward["transparent"], serde_json::json!(["tproxy://[::]:3129"]));
    assert_eq!(
        (&forward["users"], &forward["max_tunnels"]),
        (&"/etc/nigh/users".into(), &4096.into())
    );
    assert!(!forward["clients"].as_array().unwrap().is_empty());
    let all = waiting(&before, &after);
    assert!(
        all.contains(&"forward.deny".to_owned()) && all.contains(&"forward.clients".to_owned())
    );
    assert_eq!(waiting(&after, &after), Vec::<String>::new());
}

#[test]
fn a_difference_is_told_by_key_and_what_no_key_tells_is_told_all_the_same() {
    let before = parse(WHOLE).unwrap();
    assert_eq!(Difference::between(&before, &before), Difference::default());
    let mut after = before.clone();
    after.limits.max_fields = 60;
    after.cache.memory = ByteSize::mib(1);
    // A time that no key shows.
    after.sites[0].origins[0].settings.keep_alive += Duration::from_secs(1);
    let difference = Difference::between(&before, &after);
    let keys: Vec<_> = difference.keys.iter().map(|it| (it.key.as_str(), it.restart)).collect();
    assert_eq!(keys, [("cache.memory", true), ("limits.max_fields", false)]);
    assert_eq!(difference.sites_changed[0].site, "www.example.com");
    assert_eq!(difference.sites_changed[0].keys[0].key, "*");
    assert_eq!(waiting(&before, &after), ["cache.memory"]);
    after.node.admin_token = Some(Secret::File("/token".into()));
    assert_eq!(waiting(&before, &after), ["cache.memory"], "another token is taken at once");
    after.node.admin_token = None;
    assert_eq!(waiting(&before, &after), ["node.admin_token.env", "cache.memory"]);
}

#[test]
fn sites_are_the_same_if_they_share_a_host() {
    let site = |hosts: &str| format!("[[site]]\nhost = {hosts}\norigin = \"http://o\"\n");
    let before = parse(&(site("[\"a\", \"b\"]") + &site("\"c\""))).unwrap();
    let after = parse(&(site("\"d\"") + &site("[\"b\", \"e\"]"))).unwrap();
    let difference = Difference::between(&before, &after);
    assert_eq!(difference.sites_added, ["d"]);
    assert_eq!(difference.sites_removed, ["c"]);
    assert_eq!(difference.sites_changed[0].site, "b");
    assert_eq!(difference.sites_changed[0].keys[0].key, "host");
}

/// A file that was cut, copied into and mistyped in a few places.
fn mistyped(rng: &mut Rng) -> String {
    const TYPED: [&str; 20] = [
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        ",",
        ".",
        "*",
        "-1",
        "0",
        "1e9",
        "99999999999999999999",
        "\u{e4}",
        "\0",
        "''",
        "\"\"\"",
        "[[site]]",
        "inf",
    ];
    let mut text = WHOLE.to_owned();
    let place = |rng: &mut Rng, text: &str| {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        if places.is_empty() { 0 } else { places[rng.index(places.len())] }
    };
    for _ in 0..=rng.below(4) {
        let (a, b) = (place(rng, &text), place(rng, &text));
        match rng.below(12) {
            0 => text.truncate(a),
            1 => drop(text.drain(a.min(b)..a.max(b).min(a.min(b) + 20))),
            2 => {
                let lines: Vec<&str> = WHOLE.lines().collect();
                let line = format!("\n{}\n", lines[rng.index(lines.len())]);
                text.insert_str(a, &line);
            }
            3..6 => text.insert_str(a, TYPED[rng.index(TYPED.len())]),
            // What stays TOML: another letter or digit.
            _ if text[a..].starts_with(|it: char| it.is_ascii_alphanumeric()) => {
                let typed = [b"0189", b"asmz"][rng.index(2)][rng.index(4)];
                text.replace_range(a..=a, &char::from(typed).to_string());
            }
            _ => {}
        }
    }
    text
}

#[test]
fn any_text_is_settings_or_mistakes_that_have_a_place_in_it() {
    let mut rng = Rng::new(1);
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..5_000 {
        let text = mistyped(&mut rng);
        match file::parse(&text, Path::new("/etc/nigh")) {
            Ok(settings) => {
                right += 1;
                assert!(!settings.sites.is_empty(), "{text}");
            }
            Err(mistakes) => {
                wrong += 1;
                assert!(!mistakes.is_empty(), "{text}");
                let lines = text.split('\n').count();
                assert!(mistakes.iter().all(|it| (1..=lines).contains(&it.line)), "{text}");
                assert!(mistakes.iter().all(|it| it.column > 0 && !it.message.is_empty()));
            }
        }
    }
    assert!(right > 200 && wrong > 1_000, "{right} right, {wrong} wrong");
}
