//! What a forward proxy does with requests, before a socket is touched.

use nigh_edge::{forward_proxy::Ports, network::Network};
use tokio::task::LocalSet;

use super::{destinations::KEPT_MAX, *};
use crate::{board::Board, counters::Registry};

/// From the test vectors of Openwall's crypt_blowfish: ann's password is U*U.
const ANN: &str = "ann:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
const RIGHT: &[u8] = b"Basic YW5uOlUqVQ==";
const WRONG: &[u8] = b"Basic YW5uOlUqVg==";

/// The same hash for another name.
const EVE: &str = "eve:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// Does something with one core's half of a proxy.
fn with(users: Option<&str>, allow: &[&str], test: impl AsyncFnOnce(&Forward)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let allow = allow.iter().map(|text| text.parse::<Network>().unwrap()).collect();
        let deny = vec!["denied.example".parse().unwrap()];
        let proxy = Proxy::new(Settings {
            rules: Rules::new(None, allow, deny, Ports::CONNECT.into(), Ports::HTTP.into()),
            users: users.map(|text| Users::parse(text).unwrap()),
            tunnels: 1,
            tunnel_idle: Duration::from_secs(60),
            tunnel_time: Duration::from_secs(60),
            connect_time: Duration::from_secs(5),
            exceptions: Vec::new(),
            redirected: Vec::new(),
        });
        proxy.listens_on(vec![3128]);
        let forward = Forward::start(proxy, Registry::default().register(), &core());
        test(&forward).await;
    });
}

/// A core's end of a board that nobody looks at.
fn core() -> Core {
    Board::default().core()
}

fn neighbour() -> Client {
    Client::new(([10, 0, 0, 1], 1).into(), Scheme::Http)
}

fn judge(
    forward: &Forward,
    form: Form,
    authority: &str,
    credentials: Option<&[u8]>,
    client: &Client,
) -> Way {
    let method = if form == Form::Connect { &Method::CONNECT } else { &Method::GET };
    let path_and_query = if form == Form::Connect { "" } else { "/proxy.pac" };
    let asked = Asked { method, form, authority, path_and_query, credentials, client };
    forward.judge(&asked, &Sites::new(&[], None, None, &core()))
}

const HTTP: Form = Form::Absolute(Scheme::Http);

/// The word for what is done.
fn word(way: Way) -> &'static str {
    match way {
        Way::Follow(route) => match route.key_suffix() {
            Some(_) => "follow-redirected",
            None => "follow",
        },
        Way::Refuse(problem) => problem.word(),
        Way::Tunnel(_) => "tunnel",
        Way::Pac => "pac",
        Way::Prove(_) => "prove",
    }
}

#[test]
fn what_is_asked_decides_what_is_done() {
    with(None, &["127.0.0.0/8"], async |forward| {
        for (form, authority, expected) in [
            (HTTP, "a.example", "follow"),
            (HTTP, "a.example:8080", "follow"),
            (HTTP, "a.example:22", "port-refused"),
            (HTTP, "1.1.1.1", "follow"),
            (HTTP, "192.0.2.1", "destination-refused"),
            (HTTP, "198.18.0.1", "destination-refused"),
            (HTTP, "10.0.0.1", "destination-refused"),
            (HTTP, "[::1]:8080", "destination-refused"),
            (HTTP, "[::ffff:10.0.0.1]", "destination-refused"),
            (HTTP, "127.0.0.1:8080", "follow"),
            // The proxy itself, allowed or not.
            (HTTP, "127.0.0.1:3128", "destination-refused"),
            (HTTP, "DENIED.example:81", "destination-refused"),
            (Form::Absolute(Scheme::Https), "a.example", "scheme-refused"),
            (Form::Connect, "a.example:443", "tunnel"),
            (Form::Connect, "a.example:25", "port-refused"),
            (Form::Connect, "169.254.169.254:443", "destination-refused"),
            (Form::Connect, "denied.example:443", "destination-refused"),
            (Form::Origin, "proxy.example:3128", "pac"),
        ] {
            let way = judge(forward, form, authority, None, &neighbour());
            assert_eq!(word(way), expected, "{form:?} {authority}");
        }
        let stranger = Client::new(([203, 0, 113, 9], 1).into(), Scheme::Http);
        for form in [HTTP, Form::Connect, Form::Origin] {
            let way = judge(forward, form, "a.example:443", None, &stranger);
            assert_eq!(word(way), "client-refused", "{form:?}");
        }
    });
}

#[test]
fn a_password_is_verified_once_and_a_wrong_one_is_asked_for_again() {
    with(Some(ANN), &[], async |forward| {
        let mut client = neighbour();
        let ask = |value, client: &Client| judge(forward, HTTP, "a.example", value, client);
        assert_eq!(word(ask(None, &client)), "credentials-wanted");
        assert_eq!(word(ask(Some(b"Bearer x"), &client)), "credentials-wanted");
        let Way::Prove(wrong) = ask(Some(WRONG), &client) else { panic!("it is not known") };
        client.proof = Some(forward.prove(*wrong).await);
        assert_eq!(word(ask(Some(WRONG), &client)), "credentials-wanted");
        let Way::Prove(right) = ask(Some(RIGHT), &client) else { panic!("it is not known") };
        client.proof = Some(forward.prove(*right).await);
        assert_eq!(word(ask(Some(RIGHT), &client)), "follow");
        // On another connection, too, and however it is written.
        assert_eq!(word(ask(Some(RIGHT), &neighbour())), "follow");
        assert_eq!(word(ask(Some(b"basic   YW5uOlUqVQ=="), &neighbour())), "follow");
        assert_eq!(word(ask(Some(WRONG), &neighbour())), "prove");
    });
}

/// What becomes of credentials that a client sends on a connection of its own.
async fn try_on(forward: &Forward, value: &[u8], mut client: Client) -> &'static str {
    if let Way::Prove(proving) = judge(forward, HTTP, "a.example", Some(value), &client) {
        client.proof = Some(forward.prove(*proving).await);
    }
    word(judge(forward, HTTP, "a.example", Some(value), &client))
}

fn basic(name: &str, password: &str) -> Vec<u8> {
    let token = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        format!("{name}:{password}"),
    );
    format!("Basic {token}").into_bytes()
}

#[test]
fn who_guesses_passwords_is_stopped_also_if_it_knows_one() {
    // She has ten accounts, so that each of her logins is a new one.
    let eves: Vec<_> = (0..10).map(|number| EVE.replace("eve", &format!("eve{number}"))).collect();
    with(Some(&format!("{ANN}\n{}", eves.join("\n"))), &[], async |forward| {
        for number in 0..10 {
            let own = basic(&format!("eve{number}"), "U*U");
            assert_eq!(try_on(forward, &own, neighbour()).await, "follow");
            let guess = basic("ann", &number.to_string());
            assert_eq!(try_on(forward, &guess, neighbour()).await, "credentials-wanted");
        }
        assert_eq!(try_on(forward, RIGHT, neighbour()).await, "too-many-attempts");
        // Whose password is known comes in, and so do other networks.
        assert_eq!(try_on(forward, &basic("eve0", "U*U"), neighbour()).await, "follow");
        let other = Client::new(([10, 0, 0, 2], 1).into(), Scheme::Http);
        assert_eq!(try_on(forward, RIGHT, other).await, "follow");
    });
}

#[test]
fn many_clients_guess_at_one_name_no_better_than_one() {
    // The least that bcrypt can cost; nobody knows the password.
    let users = format!("{}\n{EVE}", ANN.replace("$05$", "$04$"));
    with(Some(&users), &[], async |forward| {
        let from = |network: u8| Client::new(([10, 0, 1, network], 1).into(), Scheme::Http);
        for number in 0..100 {
            let guess = basic("ann", &number.to_string());
            let said = try_on(forward, &guess, from(number / 10)).await;
            assert_eq!(said, "credentials-wanted", "{number}");
        }
        let said = try_on(forward, &basic("ann", "again"), from(200)).await;
        assert_eq!(said, "too-many-attempts");
        assert_eq!(try_on(forward, &basic("eve", "U*U"), from(200)).await, "follow");
    });
}

#[test]
fn a_redirected_client_goes_to_the_host_it_names_only_where_that_host_is() {
    with(None, &["127.0.0.0/8"], async |forward| {
        let on_the_way = |to: [u8; 4]| Client {
            original: Some((to, 80).into()),
            ..Client::new(([10, 0, 0, 1], 1).into(), Scheme::Http)
        };
        let there = on_the_way([1, 1, 1, 1]);
        for (authority, expected) in [
            ("1.1.1.1", "follow"),
            ("1.1.1.1:80", "follow"),
            ("1.1.1.2", "follow-redirected"),
            ("1.1.1.1:81", "follow-redirected"),
            ("denied.example", "destination-refused"),
            ("", "no-host"),
            ("a.example", "prove"),
        ] {
            let way = judge(forward, Form::Origin, authority, None, &there);
            assert_eq!(word(way), expected, "{authority}");
        }
        let inside = on_the_way([10, 0, 0, 9]);
        let way = judge(forward, Form::Origin, "a.example", None, &inside);
        assert_eq!(word(way), "destination-refused");
        // localhost is at 127.0.0.1, and not at 127.0.0.2.
        for (to, expected) in [([127, 0, 0, 1], "follow"), ([127, 0, 0, 2], "follow-redirected")] {
            let mut client = on_the_way(to);
            let way = judge(forward, Form::Origin, "localhost", None, &client);
            let Way::Prove(proving) = way else { panic!("it is not known") };
            client.proof = Some(forward.prove(*proving).await);
            let way = judge(forward, Form::Origin, "localhost", None, &client);
            assert_eq!(word(way), expected, "{to:?}");
            // For further requests, too, as long as that is remembered.
            client.proof = None;
            let way = judge(forward, Form::Origin, "localhost", None, &client);
            assert_eq!(word(way), expected, "{to:?}");
        }
        // A label of 64 letters is none (RFC 1035, section 2.3.4): nothing comes of looking it up, which
        // says nothing of the next time.
        let (mut client, host) = (on_the_way([127, 0, 0, 1]), "x".repeat(64));
        let way = judge(forward, Form::Origin, &host, None, &client);
        let Way::Prove(proving) = way else { panic!("it is not known") };
        client.proof = Some(forward.prove(*proving).await);
        let way = judge(forward, Form::Origin, &host, None, &client);
        assert_eq!(word(way), "follow-redirected");
        client.proof = None;
        assert_eq!(word(judge(forward, Form::Origin, &host, None, &client)), "prove");
    });
}

#[test]
fn a_name_that_leads_inside_is_refused_when_it_is_connected_to() {
    with(None, &[], async |forward| {
        let to = Destination { host: "localhost".into(), port: 443 };
        let problem = forward.open_tunnel(&to, &Account::new(TUNNEL)).await.unwrap_err();
        assert_eq!((problem.word(), problem.status().as_u16()), ("destination-refused", 403));
    });
}

#[test]
fn tunnels_have_a_limit_and_give_their_place_back() {
    with(None, &[], async |forward| {
        let first = forward.proxy.enter_tunnel();
        assert!(first.is_some() && forward.proxy.enter_tunnel().is_none());
        drop(first);
        assert_eq!(forward.proxy.tunnels(), 0);
        assert!(forward.proxy.enter_tunnel().is_some());
    });
}

#[test]
fn destinations_are_kept_while_they_are_asked_for_and_there_are_not_too_many() {
    with(None, &[], async |forward| {
        let (kept, now) = (&forward.destinations, Instant::now());
        let find = |host: &str, caching| kept.find(host, 80, caching, now);
        let one = find("a.example", Caching::Shared);
        assert!(Rc::ptr_eq(&one, &find("A.example", Caching::Shared)));
        assert!(!Rc::ptr_eq(&one, &find("a.example", Caching::Never)));
        for number in 0..KEPT_MAX + 10 {
            find(&format!("{number}.example"), Caching::Shared);
        }
        assert_eq!(kept.len(), KEPT_MAX);
        kept.drop_idle(now + destinations::KEPT_FOR);
        assert_eq!(kept.len(), 0);
    });
}

#[test]
fn browsers_are_told_the_address_that_they_came_to() {
    with(None, &[], async |forward| {
        for (authority, scheme, expected) in [
            ("proxy.example:3128", Scheme::Http, "PROXY proxy.example:3128"),
            ("wpad", Scheme::Http, "PROXY wpad:80"),
            ("[2001:db8::1]", Scheme::Https, "HTTPS [2001:db8::1]:443"),
            ("[2001:db8::1]:8443", Scheme::Https, "HTTPS [2001:db8::1]:8443"),
        ] {
            let client = Client::new(([10, 0, 0, 1], 1).into(), scheme);
            let file = forward.pac(authority, &client);
            assert!(file.contains(&format!("return \"{expected}\"")), "{file}");
        }
    });
}
