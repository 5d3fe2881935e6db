//! What the BEPs show.

use super::*;

/// It reads as that, and is written as it was.
fn holds(text: &str, body: Body) {
    let message = Message { transaction: b"aa"[..].into(), version: None, body };
    assert_eq!(read(text), message);
    assert_eq!(message.encode().escape_ascii().to_string(), text);
}

fn ask(method: Method) -> Body {
    Body::Query(Query { id: ASKER, read_only: false, want: None, method })
}

fn answer(response: Response) -> Body {
    Body::Response(Box::new(response))
}

#[test]
fn the_examples_of_bep_5_are_read_and_written_byte_for_byte() {
    holds(
        "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee",
        Body::Error(Error {
            code: code::GENERIC,
            text: b"A Generic Error Ocurred"[..].into(),
            seen_at: None,
        }),
    );
    holds("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", ask(Method::Ping));
    holds("d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re", answer(empty(OTHER)));
    holds(
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
        ask(Method::FindNode { target: OTHER }),
    );
    holds(
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
        ask(Method::GetPeers { info_hash: OTHER, without_seeds: false, scrape: false }),
    );
    let address = |text: &[u8; 6]| {
        let [a, b, c, d, e, f] = *text;
        Address::v4([a, b, c, d], u16::from_be_bytes([e, f]))
    };
    let token = Token::from(&b"aoeusnth"[..]);
    holds(
        "d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re",
        answer(Response {
            token: Some(token.clone()),
            peers: Some(vec![address(b"axje.u"), address(b"idhtnm")]),
            ..empty(ASKER)
        }),
    );
    holds(
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
        ask(Method::AnnouncePeer { info_hash: OTHER, port: Some(6881), seed: false, token }),
    );
}

#[test]
fn the_examples_of_bep_5_that_stop_in_a_contact_are_read_without_it() {
    let found = response("d1:rd2:id20:0123456789abcdefghij5:nodes9:def456...e1:t2:aa1:y1:re");
    assert_eq!(found.nodes, Some(vec![]));
    let nearer = response(
        "d1:rd2:id20:abcdefghij01234567895:nodes9:def456...5:token8:aoeusnthe1:t2:aa1:y1:re",
    );
    assert_eq!(nearer.token.as_deref(), Some(&b"aoeusnth"[..]));
}

#[test]
fn an_implied_port_of_bep_5_counts_before_a_port() {
    let announced = |arguments: &str| query(asked("announce_peer", arguments)).method;
    let (hash, token) = ("9:info_hash20:mnopqrstuvwxyz123456", "5:token1:x");
    let with = |port| Method::AnnouncePeer {
        info_hash: OTHER,
        port,
        seed: false,
        token: Token::from(&b"x"[..]),
    };
    let text = format!("12:implied_porti1e{hash}4:porti6881e{token}");
    assert_eq!(announced(&text), with(None));
    assert_eq!(announced(&format!("12:implied_porti1e{hash}{token}")), with(None));
    let text = format!("12:implied_porti0e{hash}4:porti6881e{token}");
    assert_eq!(announced(&text), with(Some(6881)));
    let written = asked("announce_peer", &format!("12:implied_porti1e{hash}4:porti0e{token}"));
    assert_eq!(read(&written).encode(), written.as_bytes());
}

#[test]
fn bep_32_says_which_families_are_wanted() {
    let wanted = |want: &str| {
        query(asked("find_node", &format!("6:target20:mnopqrstuvwxyz123456{want}"))).want
    };
    assert_eq!(wanted(""), None);
    assert_eq!(wanted("4:wantl2:n4e"), Some(Want { v4: true, v6: false }));
    assert_eq!(wanted("4:wantl2:n6e"), Some(Want { v4: false, v6: true }));
    assert_eq!(wanted("4:wantl2:n62:n5i7e2:n4e"), Some(Want { v4: true, v6: true }));
    assert_eq!(wanted("4:wantle"), Some(Want::default()));
    assert_eq!(wanted("4:want2:n4"), None);
}

#[test]
fn bep_32_mixes_peers_of_both_families() {
    let mut six = [0; 18];
    (six[0], six[1], six[15], six[17]) = (0x20, 1, 7, 9);
    let list = [b"6:valuesl", &string(b"axje.u")[..], &string(&six), b"e"].concat();
    let peers = response(answered(&list)).peers.unwrap();
    assert_eq!(peers[0], Address::v4(*b"axje", u16::from_be_bytes(*b".u")));
    assert_eq!(peers[1], "[2001::7]:9".parse::<std::net::SocketAddr>().unwrap().into());
    assert_eq!(read(answered(&list)).encode(), answered(&list));
}

#[test]
fn bep_33_asks_for_filters_and_gets_them() {
    let method = |flags: &str| {
        query(asked("get_peers", &format!("9:info_hash20:mnopqrstuvwxyz123456{flags}"))).method
    };
    let expected =
        |without_seeds, scrape| Method::GetPeers { info_hash: OTHER, without_seeds, scrape };
    assert_eq!(method("6:noseedi1e6:scrapei1e"), expected(true, true));
    assert_eq!(method("6:noseedi0e6:scrapei1e"), expected(false, true));
    let (peers, seeds) = ([1; FILTER_BYTES], [2; FILTER_BYTES]);
    let bytes = [
        b"d1:rd4:BFpe256:".as_slice(),
        &peers,
        b"4:BFsd256:",
        &seeds,
        b"2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re",
    ]
    .concat();
    assert_eq!(response(&bytes).filters, Some(Box::new(Filters { seeds, peers })));
    assert_eq!(read(&bytes).encode(), bytes);
    // One filter is none, and so is a short one.
    let one = [b"4:BFsd", &string(&seeds)[..]].concat();
    assert_eq!(response(answered(&one)).filters, None);
    let short = [&one[..], b"4:BFpe", &string(&peers[1..])].concat();
    assert_eq!(response(answered(&short)).filters, None);
}

#[test]
fn bep_42_says_where_the_asker_is_seen() {
    let seen = |ip: &[u8]| {
        let ip = string(ip);
        let id = b"1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re";
        let bytes = [b"d2:ip", &ip[..], id].concat();
        (response(&bytes).seen_at, read(&bytes).encode() == bytes)
    };
    assert_eq!(seen(b"axje.u").0, Some(Address::v4(*b"axje", 0x2e75)));
    assert!(seen(b"axje.u").1);
    let six: [u8; 18] = std::array::from_fn(|n| n.to_le_bytes()[0] + 0x20);
    let (address, is_whole) = seen(&six);
    assert_eq!(address.unwrap().as_v6().as_ref(), six.first_chunk());
    assert!(is_whole);
    // Without a port, it is no address.
    assert_eq!(seen(b"axje").0, None);
}

#[test]
fn bep_43_says_who_only_asks() {
    let text = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t2:aa1:y1:qe";
    assert!(query(text).read_only);
    assert_eq!(read(text).encode(), text.as_bytes());
    assert!(!query(text.replace("roi1e", "roi0e")).read_only);
}

const KEY: [u8; 32] = [b'k'; 32];
const SIGNATURE: [u8; 64] = [b's'; 64];

fn signed(salt: &[u8]) -> Option<Signed> {
    Some(Signed { key: KEY, number: 4, salt: salt.into(), signature: SIGNATURE })
}

#[test]
fn bep_44_puts_items() {
    let (key, signature) = ("k".repeat(32), "s".repeat(64));
    let token = Token::from(&b"x"[..]);
    let value = Bytes::from_static(b"12:Hello world!");
    let put = |signed, cas| {
        let item = Box::new(Item { value: value.clone(), signed });
        Method::Put { item, cas, token: token.clone() }
    };
    // Beside what the BEP has, ours name the item.
    let is_written = |text: &str, name: Key| {
        let (before, behind) = text.split_once("5:token").unwrap();
        let name = [b"6:target20:", &name.bytes()[..]].concat();
        let named = [before.as_bytes(), &name, b"5:token", behind.as_bytes()].concat();
        assert_eq!(read(text).encode(), named);
        assert_eq!(read(&named), read(text));
    };
    let text = asked("put", "5:token1:x1:v12:Hello world!");
    assert_eq!(query(&text).method, put(None, None));
    is_written(&text, Key::of(b"12:Hello world!"));
    let fields = format!("1:k32:{key}4:salt6:foobar3:seqi4e3:sig64:{signature}");
    let text = format!(
        "d1:ad3:casi3e2:id20:abcdefghij0123456789{fields}5:token1:x1:v12:Hello world!e1:q3:put1:t2:aa1:y1:qe"
    );
    assert_eq!(query(&text).method, put(signed(b"foobar"), Some(3)));
    is_written(&text, Key::of(&[&KEY[..], b"foobar"].concat()));
    // An empty salt is none.
    let empty = text.replace("4:salt6:foobar", "4:salt0:");
    assert_eq!(query(&empty).method, put(signed(b""), Some(3)));
}

#[test]
fn bep_44_gets_items() {
    let text = asked("get", "3:seqi-1e6:target20:mnopqrstuvwxyz123456");
    assert_eq!(query(&text).method, Method::Get { target: OTHER, newer_than: Some(-1) });
    assert_eq!(read(&text).encode(), text.as_bytes());
    // Any value, in whatever form, stays as it came.
    let value = b"d1:bi007e1:al0:ee";
    let found = |fields: &[u8]| {
        let bytes = answered(fields);
        assert_eq!(read(&bytes).encode(), bytes);
        response(&bytes)
    };
    let plain = found(&[b"1:v", &value[..]].concat());
    let item = Item { value: Bytes::from_static(value), signed: None };
    assert_eq!((plain.item, plain.number), (Some(item.clone()), None));
    let (key, signature) = (string(&KEY), string(&SIGNATURE));
    let fields = [b"1:k", &key[..], b"3:seqi4e3:sig", &signature, b"1:v", value].concat();
    let changed = found(&fields);
    let item = Item { signed: signed(b""), ..item };
    assert_eq!((changed.item, changed.number), (Some(item), None));
    let known = found(b"3:seqi4e");
    assert_eq!((known.item, known.number), (None, Some(4)));
}

#[test]
fn bep_51_samples() {
    let text = asked("sample_infohashes", "6:target20:mnopqrstuvwxyz123456");
    assert_eq!(query(&text).method, Method::SampleInfohashes { target: OTHER });
    assert_eq!(read(&text).encode(), text.as_bytes());
    let bytes = answered(
        b"8:intervali21600e3:numi300e7:samples40:abcdefghij0123456789mnopqrstuvwxyz123456",
    );
    let samples = Samples { interval: 21_600, count: 300, some: vec![ASKER, OTHER] };
    assert_eq!(response(&bytes).samples, Some(samples));
    assert_eq!(read(&bytes).encode(), bytes);
    let none = response(answered(b"8:intervali0e3:numi0e7:samples0:")).samples;
    assert_eq!(none, Some(Samples { interval: 0, count: 0, some: vec![] }));
}

#[test]
fn our_own_questions_hold_any_value() {
    let text = asked(
        "nigh_store",
        "8:lifetimei3600e3:seqi7e6:target20:mnopqrstuvwxyz1234565:token1:x5:value3:a\0e",
    );
    let value = Bytes::from_static(b"a\0e");
    let token = Token::from(&b"x"[..]);
    let store = |number| Method::Store {
        target: OTHER,
        value: value.clone(),
        number,
        lifetime: 3600,
        token: token.clone(),
    };
    assert_eq!(query(&text).method, store(7));
    assert_eq!(query(text.replace("3:seqi7e", "")).method, store(0));
    assert_eq!(read(&text).encode(), text.as_bytes());
    let text = asked("nigh_fetch", "6:target20:mnopqrstuvwxyz123456");
    assert_eq!(query(&text).method, Method::Fetch { target: OTHER });
    assert_eq!(read(&text).encode(), text.as_bytes());
    let held = response(answered(b"3:seqi7e5:value3:a\0e"));
    assert_eq!((held.value, held.number), (Some(value), Some(7)));
}
