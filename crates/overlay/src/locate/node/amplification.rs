//! What a forged question draws, in bytes. A question is answered at once, whoever seems to ask, so a node can be
//! made to send to others what they did not ask for; the tables of "Forged senders" in docs/ say how much.
//! Here each of their lines is made anew from the messages themselves: bytes of UDP over IPv4, with the settings
//! that nodes have by default.

use std::fmt::Write as _;

use bytes::Bytes;
use nigh_base::{Address, Key, wire::Wire};

use super::{
    Settings,
    geometry::{Bare, Errand as _, Step, Words},
    message::{Body, Datagram, STEPS_MAX, WITHOUT_MAX},
    request::ATTEMPTS,
};
use crate::locate::{
    Contact, VALUE_MAX, can,
    circle::{self, message::Words as OfCircle},
    codec::CONTACTS_MAX,
    koorde, pastry, tapestry, viceroy,
};

const OVERLAYS: &str = include_str!("../../../../../docs/overlays.md");
const PASTRY: &str = include_str!("../../../../../docs/pastry.md");
const TAPESTRY: &str = include_str!("../../../../../docs/tapestry.md");
const CAN: &str = include_str!("../../../../../docs/can.md");
const KOORDE: &str = include_str!("../../../../../docs/koorde.md");
const VICEROY: &str = include_str!("../../../../../docs/viceroy.md");

const NONCE: u64 = 7;
const KEY: Key = Key::MAX;
const CONTACT: Contact = Contact { key: KEY, address: Address::v4([192, 0, 2, 1], 4000) };

/// The lines of the table behind the words "Forged senders".
fn table(page: &str) -> Vec<&str> {
    let (_, behind) = page.split_once("Forged senders").expect("each page says what can be drawn");
    let is_line = |it: &&str| it.starts_with('|');
    let lines = behind.lines().skip_while(|it| !is_line(it)).take_while(is_line);
    // The head, and what parts it from the rest.
    lines.skip(2).collect()
}

/// A number as pages have it.
fn number(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

fn bytes<C: Wire + Clone, W: Words>(from: Option<Key>, body: &Body<C, W>) -> usize {
    let written = Datagram { from, body: body.clone() }.encode();
    assert!(Datagram::<C, W>::decode(&written).is_ok(), "what is drawn can be said");
    written.len()
}

/// Who can ask so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Anybody,
    /// Who says that it is a member.
    Member,
}

/// A line of a table: a question in its shortest form and in its longest, and the most that follows it: of each
/// kind so many.
fn line<C: Wire + Clone, W: Words>(
    name: &str,
    by: By,
    question: [Body<C, W>; 2],
    drawn: &[(u32, &str, Body<C, W>)],
) -> String {
    let least = bytes((by == By::Member).then_some(KEY), &question[0]);
    let most = bytes(Some(KEY), &question[1]);
    let range = if least == most { number(least) } else { format!("{least} to {most}") };
    let (mut all, mut named) = (0, String::new());
    for (count, name, body) in drawn {
        let each = bytes(Some(KEY), body);
        all += usize::try_from(*count).unwrap() * each;
        let and = if named.is_empty() { "" } else { " and " };
        let how_many = if *count == 1 { String::new() } else { format!("{count} ") };
        write!(named, "{and}{how_many}{name} of {}", number(each)).unwrap();
    }
    format!("| {name} | {range} | {named} | {} |", factor(all, least))
}

/// How many times as long, to the nearest whole number.
const fn factor(drawn: usize, question: usize) -> usize {
    (2 * drawn + question) / (2 * question)
}

fn holders() -> Vec<Contact> {
    vec![CONTACT; Settings::default().copies.into()]
}

/// What follows a step of a lookup, and a lookup that is passed on, in their shortest and longest forms: they carry
/// this. If it is for a value, `pointed` nodes may be named that hold it.
fn lookups<C: Wire + Copy, W: Words>(carry: [C; 2], pointed: usize) -> [String; 2] {
    let next = |carry| Body::<C, W>::Next { nonce: NONCE, key: KEY, carry, without: Vec::new() };
    let step = Step { contact: CONTACT, carry: carry[1] };
    let closer = Body::<C, W>::Closer { nonce: NONCE, steps: vec![step; STEPS_MAX] };
    let route = |carry, origin| Body::<C, W>::Route {
        nonce: NONCE,
        lookup: 9,
        key: KEY,
        carry,
        origin,
        hops: 0,
    };
    let contacts = vec![CONTACT; pointed];
    let (named, found) = if pointed > 0 {
        let found = Body::FoundHolders { lookup: 9, hops: 0, contacts: contacts.clone() };
        (("Holders", Body::Holders { nonce: NONCE, contacts }), ("FoundHolders", found))
    } else {
        (
            ("Closer", closer.clone()),
            ("Found", Body::Found { lookup: 9, hops: 0, contacts: holders() }),
        )
    };
    let named_bytes = bytes(None, &named.1);
    let owner = Body::<C, W>::Owner { nonce: NONCE, contacts: holders() };
    assert!(
        named_bytes >= bytes(None, &closer) && named_bytes >= bytes(None, &owner),
        "the longest"
    );
    let routes = [route(carry[0], None), route(carry[1], Some(CONTACT.address))];
    [
        line("Next", By::Anybody, carry.map(next), &[(1, named.0, named.1)]),
        line(
            "Route",
            By::Anybody,
            routes,
            &[(1, "Taken", Body::Taken { nonce: NONCE }), (1, found.0, found.1)],
        ),
    ]
}

/// What follows a question for leaves, with so many of them.
fn leaves<C: Wire + Clone, W: Words>(count: usize) -> String {
    let question = || Body::<C, OfCircle<W>>::Own(OfCircle::Leaves { nonce: NONCE });
    let answer = OfCircle::LeavesAre { nonce: NONCE, contacts: vec![CONTACT; count] };
    let drawn = [(1, "LeavesAre", Body::Own(answer))];
    line("Leaves", By::Anybody, [question(), question()], &drawn)
}

fn leaves_by_default<C: Wire + Clone, W: Words>() -> String {
    leaves::<C, W>(circle::Settings::default().leaves)
}

#[test]
fn what_every_node_says_draws_what_the_page_of_all_says() {
    type Says = Body<Bare, OfCircle<pastry::message::Words>>;
    let twice = |body: Says| [body.clone(), body];
    let ping = || Says::Ping { nonce: NONCE };
    let value = Says::Value { nonce: NONCE, value: Some(Bytes::from(vec![1; VALUE_MAX])) };
    let fetch = twice(Says::Fetch { nonce: NONCE, key: KEY });
    let without = vec![KEY; WITHOUT_MAX];
    let around = twice(Says::Next { nonce: NONCE, key: KEY, carry: Bare, without });
    let steps = vec![Step { contact: CONTACT, carry: Bare }; STEPS_MAX];
    let closer = Says::Closer { nonce: NONCE, steps };
    let pings = ATTEMPTS * u32::try_from(WITHOUT_MAX).unwrap();
    let lines = [
        line("Fetch", By::Anybody, fetch, &[(1, "Value", value)]),
        line("Ping", By::Anybody, twice(ping()), &[(1, "Pong", Says::Pong { nonce: NONCE })]),
        line(
            "Ping, of one who would have a place",
            By::Member,
            twice(ping()),
            &[(1, "Pong", Says::Pong { nonce: NONCE }), (1, "Ping", ping())],
        ),
        line(
            "Leaving, of one who is known",
            By::Member,
            twice(Says::Leaving),
            &[(ATTEMPTS, "Pings", ping())],
        ),
        line(
            "Next, with 8 who are known to go round",
            By::Anybody,
            around,
            &[(1, "Closer", closer), (pings, "Pings", ping())],
        ),
    ];
    assert_eq!(table(OVERLAYS), lines);
}

#[test]
fn what_nodes_of_pastry_say_draws_what_their_page_says() {
    use pastry::message::Words;
    let row = || Body::Own(OfCircle::Far(Words::Row { nonce: NONCE, row: 0 }));
    let cells = (1 << pastry::Settings::default().digit_bits) - 1;
    let contacts = vec![CONTACT; cells];
    let row_is = Body::Own(OfCircle::Far(Words::RowIs { nonce: NONCE, contacts }));
    let [next, route] = lookups::<Bare, OfCircle<Words>>([Bare; 2], 0);
    let row = line::<Bare, _>("Row", By::Anybody, [row(), row()], &[(1, "RowIs", row_is)]);
    let leaves_by_default = leaves_by_default::<Bare, Words>();
    assert_eq!(table(PASTRY), [leaves_by_default, row, next, route]);
    let most = leaves::<Bare, Words>(CONTACTS_MAX);
    assert!(most.ends_with("| LeavesAre of 897 | 75 |"), "{most}");
    assert!(PASTRY.contains("With 32 leaves LeavesAre has 897 bytes, 75 times its question."));
}

#[test]
fn what_nodes_of_tapestry_say_draws_what_their_page_says() {
    use tapestry::message::{Errand, Level, Words};
    let carry = Level { level: 39, wants_holders: true };
    // So many holders are pointed to.
    let [next, route] = lookups::<Level, Words>([carry; 2], 4);
    let twice = |words: Words| [Body::Own(words.clone()), Body::Own(words)];
    let own = |name, by, question, drawn: &[(u32, &str, Words)]| {
        let drawn: Vec<_> = drawn
            .iter()
            .map(|(count, name, words)| (*count, *name, Body::Own(words.clone())))
            .collect();
        line::<Level, Words>(name, by, twice(question), &drawn)
    };
    let row_is = Words::RowIs { nonce: NONCE, contacts: vec![CONTACT; CONTACTS_MAX] };
    let onward = Words::Onward { nonce: NONCE, step: Some(Step { contact: CONTACT, carry }) };
    let has = || Words::Has { nonce: NONCE, key: KEY };
    let points = || Words::Points { nonce: NONCE };
    let (does, holds) = (
        Words::DoesPoint { nonce: NONCE, is_so: true },
        Words::Holds { nonce: NONCE, is_so: true },
    );
    let asked_whether_it_points = (Errand::Back.attempts(), "Points", points());
    let asked = nigh_base::Time::START;
    let point = Errand::Point { key: KEY, holder: CONTACT, asked, is_repeat: false };
    // Once more under another number.
    let asked_whether_it_holds = (2 * point.attempts(), "Has", has());
    let publish = Words::Publish { nonce: NONCE, key: KEY, level: 0 };
    let row = || Words::Row { nonce: NONCE, row: 0 };
    let lines = [
        own("Row", By::Anybody, row(), &[(1, "RowIs", row_is.clone())]),
        own(
            "Row, of a member",
            By::Member,
            row(),
            &[(1, "RowIs", row_is), asked_whether_it_points],
        ),
        own("Points", By::Anybody, points(), &[(1, "DoesPoint", does)]),
        own(
            "Publish, of a member",
            By::Member,
            publish,
            &[(1, "Onward", onward), asked_whether_it_holds],
        ),
        own("Has", By::Anybody, has(), &[(1, "Holds", holds)]),
        next,
        route,
    ];
    assert_eq!(table(TAPESTRY), lines);
}

#[test]
fn what_nodes_of_can_say_draws_what_their_page_says() {
    use can::{
        ZONES_MAX,
        message::{Errand, Gift, NAMED_MAX, Named, Way, Words},
        zone::Zone,
    };
    let zone = Zone::WHOLE;
    let twice = |words: Words| [Body::Own(words.clone()), Body::Own(words)];
    let own = |name, by, question, drawn: &[(u32, &str, Words)]| {
        let drawn: Vec<_> = drawn
            .iter()
            .map(|(count, name, words)| (*count, *name, Body::Own(words.clone())))
            .collect();
        line::<Way, Words>(name, by, question, &drawn)
    };
    let state = |count| Words::State { nonce: NONCE, zones: vec![zone; count] };
    let state_is = |contact| {
        let named = vec![Named { contact, zone }; NAMED_MAX];
        Words::StateIs { nonce: NONCE, zones: vec![zone; ZONES_MAX], named }
    };
    let gift = Gift { token: 5, zone };
    let named = vec![Named { contact: CONTACT, zone }; NAMED_MAX];
    let offer = Words::Offer { nonce: NONCE, gift: Some(gift), named };
    let split = || Words::Split { nonce: NONCE, key: KEY, reality: 0, whole: true };
    let take = || Words::Take { nonce: NONCE, token: 5 };
    let yours = Words::Yours { nonce: NONCE, zone: Some(zone) };
    let states = Errand::State(nigh_base::Time::START).attempts();
    let takes = Errand::Take(zone, Vec::new()).attempts();
    let splits = Errand::Split { reality: 0, whole: true }.attempts();
    let states_asked = [Body::Own(state(0)), Body::Own(state(ZONES_MAX))];
    let [next, route] = lookups::<Way, Words>([Way::default(); 2], 0);
    let lines = [
        own("State", By::Anybody, states_asked, &[(1, "StateIs", state_is(CONTACT))]),
        own(
            "State, of a neighbour that says it has other zones",
            By::Member,
            twice(state(0)),
            &[(1, "StateIs", state_is(CONTACT)), (states, "States", state(ZONES_MAX))],
        ),
        own("Split", By::Anybody, twice(split()), &[(1, "Offer", offer)]),
        own("Take", By::Anybody, twice(take()), &[(1, "Yours", yours)]),
        own(
            "Give, of a neighbour",
            By::Anybody,
            twice(Words::Give(gift)),
            &[(takes, "Takes", take())],
        ),
        line(
            "Gone, that a neighbour is",
            By::Anybody,
            twice(Words::Gone(KEY)),
            &[(ATTEMPTS, "Pings", Body::Ping { nonce: NONCE })],
        ),
        own(
            "Relieve, of a member",
            By::Member,
            twice(Words::Relieve { reality: 0 }),
            &[(splits, "Splits", split())],
        ),
        next,
        route,
    ];
    assert_eq!(table(CAN), lines);
    let six = Address::v6([0x20; 16], 4000);
    let far = Contact { address: six, ..CONTACT };
    let longest = bytes::<Way, Words>(Some(KEY), &Body::Own(state_is(far)));
    let shortest = bytes::<Way, Words>(None, &Body::Own(state(0)));
    assert_eq!((longest, factor(longest, shortest)), (1_234, 95));
    assert!(CAN.contains("Over IPv6 StateIs has up to 1,234 bytes, 95 times its question."));
    let named = vec![Named { contact: CONTACT, zone }; NAMED_MAX];
    let usual = Words::StateIs { nonce: NONCE, zones: vec![zone], named };
    assert_eq!(bytes::<Way, Words>(Some(KEY), &Body::Own(usual)), 835);
    assert!(CAN.contains("With one zone and 22 neighbours it has 835 over IPv4."));
}

#[test]
fn what_nodes_of_koorde_say_draws_what_their_page_says() {
    use koorde::{
        imaginary::Imaginary,
        message::{Carry, Words},
    };
    let imaginary = Carry(Some(Imaginary { key: KEY, left: 9 }));
    let [next, route] = lookups::<Carry, OfCircle<Words>>([Carry(None), imaginary], 0);
    assert_eq!(table(KOORDE), [leaves_by_default::<Carry, Words>(), next, route]);
}

#[test]
fn what_nodes_of_viceroy_say_draws_what_their_page_says() {
    use viceroy::message::{Errand, NAMED_MAX, Phase, Side, Words};
    let far = |words| Body::Own(OfCircle::Far(words));
    let side = Side::Behind;
    let seek = || far(Words::Seek { nonce: NONCE, mine: 1, level: 2, place: KEY, side });
    let (contacts, beyond) = (vec![CONTACT; NAMED_MAX], Some(CONTACT));
    let found = || far(Words::Found { nonce: NONCE, mine: 1, contacts: contacts.clone(), beyond });
    let seeks = Errand::Level.attempts();
    let [next, route] = lookups::<Phase, OfCircle<Words>>([Phase::Up; 2], 0);
    let lines = [
        leaves_by_default::<Phase, Words>(),
        line::<Phase, _>("Seek", By::Anybody, [seek(), seek()], &[(1, "Found", found())]),
        line::<Phase, _>(
            "Seek, of one who would be a better link",
            By::Member,
            [seek(), seek()],
            &[(1, "Found", found()), (seeks, "Seeks", seek())],
        ),
        next,
        route,
    ];
    assert_eq!(table(VICEROY), lines);
}
