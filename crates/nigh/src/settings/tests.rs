//! Settings files, right and wrong.

use std::path::Path;

use clap::Parser;

use super::*;
use crate::cli::{Cli, Verb};

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
workers = 4
access_log = "access.log"
log_format = "json"
[cache]
memory = "2GiB"
max_object = "1MiB"
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
    let Settings { node, cache, tls, limits, sites } = parse(WHOLE).unwrap();
    assert_eq!((&*node.name, node.listen.len(), node.workers), ("eu-1", 2, Some(4)));
    assert_eq!(node.access_log.unwrap(), Path::new("/etc/nigh/access.log"));
    assert_eq!((cache.memory, cache.eviction), (ByteSize::mib(2048), evict::Kind::Lru));
    let disk = cache.disk.unwrap();
    assert_eq!((&*disk.path, disk.size), (Path::new("/var/cache/nigh"), ByteSize::mib(20_480)));
    let tls = tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/etc/nigh/site.pem"));
    assert_eq!(tls.key, Secret::Environment("SITE_KEY".to_owned()));
    assert_eq!((limits.max_fields, limits.idle_time), (50, Duration::from_secs(75)));
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
fn flags_and_a_file_that_says_no_more_are_the_same_settings() {
    let words = ["nigh", "edge", "--to", "https://origin.example"];
    let Verb::Edge(flags) = Cli::try_parse_from(words).unwrap().verb else { panic!("an edge") };
    let file = parse("[[site]]\nhost = \"*\"\norigin = \"https://origin.example\"").unwrap();
    assert_eq!(Settings::from(&*flags), file);
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
        ("[node]\nadmin = \"0.0.0.0:1\"", "2:9", "must be loopback"),
        ("[node]\nworkers = \"4\"", "2:11", "a whole number without quotes, from 1 to 1024"),
        ("[node]\nworkers = 0", "2:11", "from 1 to 1024"),
        ("[node]\ngroup = \"a\"", "2:9", "say user = "),
        ("[node]\nlog_format = \"xml\"", "2:14", "combined or json"),
        ("[cache]\nmemory = 5", "2:10", "write it in quotes"),
        ("[cache]\nmemory = \"many\"", "2:10", "is no unit of size: use B, KiB"),
        ("[cache]\neviction = \"random\"", "2:12", "gdsf"),
        ("[limits]\nmax_target = \"64KiB\"", "2:14", "at most 63KiB"),
        ("[limits]\nmin_rate = \"fast\"", "2:12", "write 10MiB/s"),
        ("[limits]\nbuffers = \"1KiB\"", "2:11", "1MiB at least"),
        ("[limits]\nper_client = { requests = 5 }", "2:27", "write it in quotes"),
        ("[limits]\nper_client = { requests = \"5\" }", "2:27", "write 100/s, 600/m"),
        ("[limits]\nper_client = { requests = \"0/s\" }", "2:27", "no rate of requests"),
        ("[limits]\nper_client = { burst = 5 }", "2:24", "say requests = "),
        ("[limits]\nper_client = { exempt = \"10.0.0.1/8\" }", "2:25", "write 192.0.2.0/24"),
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

#[test]
fn what_only_a_start_changes_is_named() {
    let (one, mut other) = (parse(WHOLE).unwrap(), parse(WHOLE).unwrap());
    other.sites.pop();
    assert!(one.fixed_differences(&other).is_empty());
    other.node.listen.pop();
    other.cache.memory = ByteSize::mib(1);
    assert_eq!(one.fixed_differences(&other), ["[node]", "[cache]"]);
}
