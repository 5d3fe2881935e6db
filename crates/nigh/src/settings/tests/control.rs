//! Where control state is, and how an etcd that has it is asked.

use super::{super::control::EtcdTls, *};

/// The cluster of one edge, with this control state.
fn with_control(control: &str) -> String {
    let alone = CLUSTER.replace(", \"eu-2=[2001:db8::12]:8443*2\"", "");
    of_cluster(&format!("{alone}control = \"{control}\"\n"))
}

#[test]
fn control_state_is_in_a_file_or_in_an_etcd_or_nowhere() {
    let control = |text: &str| parse(text).unwrap().cluster.unwrap().control;
    assert_eq!(control(&of_cluster(CLUSTER)), None);
    let file = Kept::File("/etc/nigh/eu.redb".into());
    assert_eq!(control(&with_control("file:eu.redb")), Some(file));
    let text = with_control("etcd://192.0.2.21:2379,[2001:db8::21]:2379,etcd.example:2379");
    if cfg!(feature = "etcd") {
        let members = ["192.0.2.21:2379", "[2001:db8::21]:2379", "etcd.example:2379"];
        let members = members.map(str::to_owned).to_vec();
        let plain = Etcd { members, tls: None };
        let secure = Etcd { tls: Some(EtcdTls::default()), ..plain.clone() };
        assert_eq!(control(&text.replace("etcd://", "etcds://")), Some(Kept::Etcd(secure)));
        assert_eq!(control(&text), Some(Kept::Etcd(plain)));
    } else {
        let found = parse(&text).unwrap_err();
        assert!(found[0].contains("cargo build --release --features etcd"), "{found:?}");
    }
    let with = parse(&with_control("file:eu.redb")).unwrap();
    let without = parse(&with_control("file:eu.redb").replace("control", "#")).unwrap();
    assert_eq!(waiting(&without, &with), ["cluster.eu.control"]);
}

#[test]
fn control_state_that_could_not_be_used_is_a_mistake() {
    let mut wrong = vec![
        ("eu.redb", "`eu.redb` is no control state: write etcd://HOST:PORT[,HOST:PORT...]"),
        ("file:", "a file has a name"),
    ];
    if cfg!(feature = "etcd") {
        wrong.extend([
            ("etcd://", "`` is no host and port of an etcd"),
            ("etcd://a:1,", "`` is no host and port of an etcd"),
            ("etcd://a", "`a` is no host and port of an etcd"),
            ("etcd://me@a:1", "`me@a:1` is no host and port of an etcd"),
        ]);
    }
    for (control, said) in wrong {
        let found = parse(&with_control(control)).unwrap_err();
        assert!(found[0].contains(said), "{control}: {found:?}");
    }
    let several = of_cluster(&format!("{CLUSTER}control = \"file:eu.redb\"\n"));
    let found = parse(&several).unwrap_err();
    assert!(found[0].contains("one process at a time can open a file"), "{found:?}");
}

#[test]
fn an_etcd_is_asked_over_tls_as_the_keys_beside_it_say() {
    if cfg!(not(feature = "etcd")) {
        return;
    }
    let with = |control: &str, more: &str| {
        with_control(control).replace("control = ", &format!("{more}control = "))
    };
    let secure = "etcds://192.0.2.21:2379";
    let settings = |more: &str| parse(&with(secure, more)).unwrap();
    let tls = |more: &str| match settings(more).cluster.unwrap().control {
        Some(Kept::Etcd(Etcd { tls: Some(tls), .. })) => tls,
        other => panic!("{other:?}"),
    };
    assert_eq!(tls(""), EtcdTls::default(), "those whom the machine trusts");
    let all =
        "control_ca = \"ca.pem\"\ncontrol_cert = \"edge.pem\"\ncontrol_key = { env = \"KEY\" }\n";
    let (certificate, key) = ("/etc/nigh/edge.pem".into(), Secret::Environment("KEY".to_owned()));
    let shown = Some(Tls { certificate, key });
    assert_eq!(tls(all), EtcdTls { authority: Some("/etc/nigh/ca.pem".into()), shown });
    let started = settings("");
    let keys = ["ca", "cert", "key.env"].map(|key| format!("cluster.eu.control_{key}"));
    assert_eq!(waiting(&started, &settings(all)), keys);
    for (control, more, said) in [
        (secure, "control_key = \"a\"\n", "`control_key` is of no use without `control_cert`"),
        (secure, "control_cert = \"a\"\n", "`control_cert` is of no use without `control_key`"),
        (
            "etcd://a:1",
            "control_ca = \"a\"\n",
            "`control_ca` is for an etcd over TLS: write control",
        ),
        ("file:x", all, "`control_cert` is for an etcd over TLS"),
    ] {
        let found = parse(&with(control, more)).unwrap_err().join("\n");
        assert!(found.contains(said), "{control}: {found}");
    }
}

#[test]
fn a_parent_is_at_the_same_etcd_however_each_is_shown_to_it() {
    if cfg!(not(feature = "etcd")) {
        return;
    }
    let own = "control = \"etcds://a:1\"\ncontrol_ca = \"ca.pem\"\nparent = \"us\"\n";
    let with = |other: &str| parse(&of_cluster(&format!("{CLUSTER}{own}{OTHER}{other}")));
    assert_eq!(
        with("control = \"etcds://a:1\"\n").unwrap().cluster.unwrap().parent.unwrap().edges.len(),
        1
    );
    for other in ["control = \"etcd://a:1\"\n", "control = \"etcds://b:1\"\n", ""] {
        let found = with(other).unwrap_err().join("\n");
        assert!(found.contains("have different `control`"), "{other}: {found}");
    }
}

#[test]
fn what_only_a_relatives_edges_show_to_the_etcd_is_a_mistake_where_it_stands() {
    if cfg!(not(feature = "etcd")) {
        return;
    }
    let control = "control = \"etcds://a:1\"\n";
    let ca = "control_ca = \"ca.pem\"\n";
    let own = |more: &str| format!("{CLUSTER}{control}{more}parent = \"us\"\n");
    let with = |more: &str| format!("{}{OTHER}{control}{ca}", own(more));
    let found = parse(&of_cluster(&with(""))).unwrap_err();
    let said = "16:14: `control_ca` in [cluster.us] is for its own edges: this one asks the etcd as \
                [cluster.eu] says, so write it there too";
    assert_eq!(found, [said]);
    // One file can be every edge's.
    assert!(parse(&of_cluster(&with(ca))).is_ok());
    let shown = "control_cert = \"c.pem\"\ncontrol_key = \"c.key\"\n";
    let found = parse(&of_cluster(&format!("{}{shown}", with(ca)))).unwrap_err().join("\n");
    assert!(found.contains("18:16: `control_cert`") && found.contains("19:15: `control_key`"));
    // A child's part is asked for likewise, and what has nothing to do with this one is not.
    let other = |more: &str| format!("{CLUSTER}{control}{OTHER}{control}{ca}{more}");
    let found = parse(&of_cluster(&other("parent = \"eu\"\n"))).unwrap_err();
    assert!(found[0].contains("`control_ca` in [cluster.us]"), "{found:?}");
    assert!(parse(&of_cluster(&other(""))).is_ok());
}

#[test]
fn edges_of_a_parent_that_are_not_listed_say_that_they_belong_in_an_etcd() {
    let with = |control: &str| {
        let own = format!("{control}parent = \"us\"\n");
        let parent = format!("[cluster.us]\nca = \"us.pem\"\n{control}");
        parse(&of_cluster(&format!("{CLUSTER}{own}{parent}")))
    };
    let found = with("control = \"file:x\"\n").unwrap_err().join("\n");
    assert!(found.contains("[cluster.us] is a parent: list its `edges`, or keep"), "{found}");
    if cfg!(not(feature = "etcd")) {
        return;
    }
    let parent = with("control = \"etcd://a:1\"\n").unwrap().cluster.unwrap().parent.unwrap();
    assert!(parent.edges.is_empty() && !parent.is_listed);
}

#[test]
fn an_authority_finds_its_etcd_as_it_was_written_down() {
    if cfg!(not(feature = "etcd")) {
        return;
    }
    let (ca, odd) = (Path::new("/a/ca.pem"), Path::new("/a/\"b\" \\c.pem"));
    let text = etcd_text("etcds://a:1,b:2", [Some(ca), Some(odd), Some(odd)]);
    let read = |text: &str| etcd_in(text, "eu", Path::new("/")).unwrap();
    let shown = Tls { certificate: odd.to_owned(), key: Secret::File(odd.to_owned()) };
    let tls = EtcdTls { authority: Some(ca.to_owned()), shown: Some(shown) };
    let members = ["a:1", "b:2"].map(str::to_owned).to_vec();
    assert_eq!(read(&text), Etcd { members, tls: Some(tls) });
    let plain = Etcd { members: vec!["a:1".to_owned()], tls: None };
    assert_eq!(read(&etcd_text("etcd://a:1", [None; 3])), plain);
    for wrong in ["file:x", "etcd://a", "a:1"] {
        assert!(etcd_in(&etcd_text(wrong, [None; 3]), "eu", Path::new("/")).is_err(), "{wrong}");
    }
}

#[test]
fn an_edge_with_control_state_may_have_no_site_of_its_own() {
    let site = "[[site]]\nhost = \"*\"\norigin = \"http://a\"\n";
    let without = with_control("file:eu.redb").replace(site, "");
    assert!(parse(&without).unwrap().sites.is_empty());
    let alone = without.replace("control =", "#");
    assert!(parse(&alone).unwrap_err()[0].contains("there is no site"));
}
