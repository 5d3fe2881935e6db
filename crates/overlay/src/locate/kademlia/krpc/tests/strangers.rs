//! What strangers send: read where it can be, told what is wrong where they ask, refused otherwise.

use super::*;

#[test]
fn order_and_unknown_fields_do_not_matter_and_of_doubled_ones_the_first_counts() {
    let text = "d1:y1:q1:t2:aa2:xxli7edee1:q4:ping1:t2:bb\
                1:ad5:extrad1:bi1e1:a0:e2:id20:abcdefghij01234567892:id1:xee";
    let message = read(text);
    assert_eq!(message.transaction.as_slice(), b"aa");
    assert_eq!(query(text).id, ASKER);
    let written = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
    assert_eq!(message.encode(), written.as_bytes());
}

#[test]
fn what_is_no_message_is_refused() {
    let impossible = |what| WireError::Impossible { what };
    let cases = [
        ("le", impossible("message that is no dictionary")),
        ("de", impossible("message without a transaction")),
        ("d1:ti1e1:y1:qe", impossible("message without a transaction")),
        ("d1:t2:aae", impossible("message that is of no kind")),
        ("d1:t2:aa1:y1:xe", impossible("message that is of no kind")),
        ("d1:t2:aa1:y1:re", impossible("answer without results")),
        ("d1:rde1:t2:aa1:y1:re", impossible("answer without an id")),
        ("d1:rd2:id19:abcdefghij012345678e1:t2:aa1:y1:re", impossible("answer without an id")),
        ("d1:t2:aa1:y1:ee ", WireError::Trailing { rest: 1 }),
        ("d1:t2:aa1:y1:q", WireError::Short { at: 14, wanted: 1 }),
    ];
    for (text, error) in cases {
        assert_eq!(Message::decode(text.as_bytes()), Err(error), "{text}");
    }
    let long = format!("d1:t21:{}1:y1:ee", "t".repeat(21));
    let error = WireError::TooLong { what: "transaction", length: 21, limit: TRANSACTION_MAX };
    assert_eq!(Message::decode(long.as_bytes()), Err(error));
    let long = format!("d1:t2:aa1:x2100:{}1:y1:ee", "x".repeat(2100));
    assert!(matches!(
        Message::decode(long.as_bytes()),
        Err(WireError::TooLong { what: "message", limit: MESSAGE_MAX, .. })
    ));
}

#[test]
fn a_question_that_makes_no_sense_is_a_mistake_that_is_answered() {
    let hash = "9:info_hash20:mnopqrstuvwxyz123456";
    let target = "6:target20:mnopqrstuvwxyz123456";
    let announced = |fields: &str| asked("announce_peer", fields);
    for text in [
        "d1:t2:aa1:y1:qe".to_owned(),
        "d1:ade1:t2:aa1:y1:qe".to_owned(),
        "d1:q4:ping1:t2:aa1:y1:qe".to_owned(),
        "d1:ale1:q4:ping1:t2:aa1:y1:qe".to_owned(),
        "d1:ade1:q4:ping1:t2:aa1:y1:qe".to_owned(),
        "d1:ad2:id19:abcdefghij012345678e1:q4:ping1:t2:aa1:y1:qe".to_owned(),
        asked("find_node", ""),
        asked("find_node", "6:target4:abcd"),
        asked("get_peers", target),
        asked("get", hash),
        asked("sample_infohashes", ""),
        announced(&format!("{hash}4:porti80e")),
        announced(&format!("{hash}4:porti80e5:token65:{}", "x".repeat(65))),
        announced(&format!("{hash}5:token1:x")),
        announced(&format!("{hash}4:porti0e5:token1:x")),
        announced(&format!("{hash}4:porti65536e5:token1:x")),
        announced(&format!("{hash}4:porti-1e5:token1:x")),
        announced("4:porti80e5:token1:x"),
        asked("put", "1:v0:"),
        asked("put", "5:token1:x"),
        asked("put", "1:k32:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa5:token1:x1:v0:"),
        asked("put", "1:k2:aa3:seqi1e5:token1:x1:v0:"),
        asked("put", "3:cas1:x5:token1:x1:v0:"),
        asked("nigh_store", &format!("8:lifetimei-1e{target}5:token1:x5:value1:x")),
        asked("nigh_store", &format!("8:lifetimei0e{target}5:token1:x5:value1:x")),
        asked("nigh_store", &format!("8:lifetimei9e{target}5:token1:x")),
        asked("nigh_store", &format!("8:lifetimei9e{target}5:value1:x")),
    ] {
        assert_eq!(mistake(&text), code::PROTOCOL, "{text}");
    }
    // It is written as the error that answers it.
    let Body::Error(told) = read(read("d1:t2:aa1:y1:qe").encode()).body else { panic!() };
    assert_eq!(told, Error { code: code::PROTOCOL, text: b"no method"[..].into(), seen_at: None });
}

#[test]
fn what_is_too_long_to_be_held_has_an_error_of_its_own() {
    let long = "x".repeat(997);
    let put = |value: &str| asked("put", &format!("5:token1:x1:v{}:{value}", value.len()));
    assert_eq!(mistake(put(&long)), code::VALUE_TOO_LONG);
    assert!(matches!(query(put(&long[1..])).method, Method::Put { .. }));
    let (key, signature) = ("k".repeat(32), "s".repeat(64));
    let salted = |salt: &str| {
        let salt = format!("{}:{salt}", salt.len());
        let fields = format!("1:k32:{key}4:salt{salt}3:seqi1e3:sig64:{signature}5:token1:x1:v0:");
        asked("put", &fields)
    };
    assert_eq!(mistake(salted(&long[..65])), code::SALT_TOO_LONG);
    assert!(matches!(query(salted(&long[..64])).method, Method::Put { .. }));
    let store = |length: usize| {
        let target = "6:target20:mnopqrstuvwxyz123456";
        let value = format!("{length}:{}", "x".repeat(length));
        asked("nigh_store", &format!("8:lifetimei9e{target}5:token1:x5:value{value}"))
    };
    assert_eq!(mistake(store(1025)), code::VALUE_TOO_LONG);
    assert!(matches!(query(store(1024)).method, Method::Store { .. }));
}

#[test]
fn an_unknown_question_may_be_about_a_key() {
    let (hash, target) = ("9:info_hash20:mnopqrstuvwxyz123456", "6:target20:abcdefghij0123456789");
    for (arguments, about) in [
        (String::new(), None),
        (hash.to_owned(), Some(OTHER)),
        (format!("{hash}{target}"), Some(ASKER)),
        ("6:target1:x".to_owned(), None),
    ] {
        let method = query(asked("vote", &arguments)).method;
        assert_eq!(method, Method::Other { target: about });
    }
}

#[test]
fn optional_fields_that_make_no_sense_are_not_there() {
    let long = string(&[7; 1025]);
    let fields = [
        b"1:v",
        &long[..],
        b"3:seqi1e5:nodesi7e6:nodes6le5:tokend1:ai1ee6:values3:abc",
        b"7:samples20:mnopqrstuvwxyz1234565:valuei7e",
    ];
    assert_eq!(response(answered(&fields.concat())), empty(OTHER));
    let bytes = answered(&[b"5:token".as_slice(), &string(&[7; 65])].concat());
    assert_eq!(response(bytes).token, None);
    assert_eq!(read("d1:t2:aa1:v3:abc1:y1:ee").version, None);
    assert_eq!(read("d1:t2:aa1:v4:NH011:y1:ee").version, Some(*b"NH01"));
    // An error that does not say which.
    for text in ["d1:t2:aa1:y1:ee", "d1:ele1:t2:aa1:y1:ee", "d1:e1:x1:t2:aa1:y1:ee"] {
        let general = Error { code: code::GENERIC, text: [][..].into(), seen_at: None };
        assert_eq!(read(text).body, Body::Error(general));
    }
}

#[test]
fn addresses_of_nobody_and_of_the_other_family_are_left_out() {
    let contact = |ip: &[u8], port: u16| [&[7; 20], ip, &port.to_be_bytes()].concat();
    let four: Vec<u8> = [
        contact(&[0, 0, 0, 0], 80),
        contact(&[10, 0, 0, 1], 0),
        contact(&[224, 0, 0, 1], 80),
        contact(&[10, 0, 0, 1], 80),
    ]
    .concat();
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let multicast = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let sixes = [&mapped, &six, &multicast, &[0; 16]].map(|ip| contact(ip, 80)).concat();
    let bytes = [b"5:nodes", &string(&four)[..], b"6:nodes6", &string(&sixes)].concat();
    let found = response(answered(&bytes));
    let key = Key::new([7; 20]);
    let only = |address| Some(vec![Contact { key, address }]);
    assert_eq!(found.nodes, only(Address::v4([10, 0, 0, 1], 80)));
    assert_eq!(found.nodes6, only(Address::v6(six, 80)));
    let peers = [&contact(&mapped, 80)[20..], &[10, 0, 0, 1, 0, 0], &[10, 0, 0, 1, 1]];
    let list = [b"6:valuesl", &peers.map(string).concat()[..], b"e"].concat();
    assert_eq!(response(answered(&list)).peers, Some(vec![Address::v4([10, 0, 0, 1], 80)]));
}

#[test]
fn lists_that_are_too_long_are_cut() {
    let node = [&[7; 20][..], &[10, 0, 0, 1, 0, 80]].concat();
    let nodes = [b"5:nodes", &string(&node.repeat(20))[..]].concat();
    assert_eq!(response(answered(&nodes)).nodes.unwrap().len(), NODES_MAX);
    let peers = [b"6:valuesl", &string(&node[20..]).repeat(150)[..], b"e"].concat();
    assert_eq!(response(answered(&peers)).peers.unwrap().len(), PEERS_MAX);
    let samples = string(&[7; 60 * 20 + 3]);
    let samples = [b"8:intervali9e3:numi99e7:samples", &samples[..]].concat();
    assert_eq!(response(answered(&samples)).samples.unwrap().some.len(), SAMPLES_MAX);
    let text = format!("d1:eli201e200:{}e1:t2:aa1:y1:ee", "x".repeat(200));
    let Body::Error(error) = read(text).body else { panic!() };
    assert_eq!(error.text.len(), TEXT_MAX);
}
