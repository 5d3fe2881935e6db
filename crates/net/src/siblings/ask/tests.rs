//! Siblings that the test plays: slow ones, and such as stand still.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use nigh_cluster::hashing::Spill;
use tokio::{io::DuplexStream, task::LocalSet};

use super::*;
use crate::{
    cluster::{
        credentials::Shown,
        testing::{self, SetClock},
        tls::{self, Trust},
    },
    siblings::Standing,
};

/// On one core, whose clock goes on when all wait.
fn on_a_core(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    LocalSet::new().block_on(&runtime.unwrap(), test);
}

/// The edges `a` and `b`, of which the second is this one.
fn members() -> Arc<Members> {
    let member = |name: &str| Member {
        name: testing::name(name),
        address: ([127, 0, 0, 1], 1).into(),
        capacity: 1,
    };
    let list = vec![member("a"), member("b")];
    Members::new(&testing::name("eu"), &testing::name("b"), list, Spill::DEFAULT)
}

fn client() -> Arc<ClientConfig> {
    let clock = SetClock::new();
    let credentials = testing::edge(&testing::authority(clock.now()), "b", clock.now());
    let trust = Trust::of(&credentials, clock.clock()).unwrap();
    Arc::new(tls::client(&trust, &Shown::new(&credentials), &[b"h2"]))
}

/// The other edge, as it is played.
struct Played {
    /// How long its answers take.
    takes: Duration,
    /// Whether it says that it is there.
    is_there: bool,
    /// How often it was asked that.
    presences: Cell<usize>,
    /// Of each body half comes with the head, and half so much later; without it, there are none.
    pause: Option<Duration>,
}

impl Played {
    fn start(takes: Duration, is_there: bool, siblings: &Siblings) -> Rc<Self> {
        Self { takes, is_there, presences: Cell::new(0), pause: None }.join(siblings)
    }

    /// One whose bodies pause.
    fn pausing(pause: Duration, is_there: bool, siblings: &Siblings) -> Rc<Self> {
        let (takes, presences) = (Duration::ZERO, Cell::new(0));
        Self { takes, is_there, presences, pause: Some(pause) }.join(siblings)
    }

    fn join(self, siblings: &Siblings) -> Rc<Self> {
        let played = Rc::new(self);
        let far = siblings.list[0].as_ref().unwrap().origin.far_end();
        tokio::task::spawn_local(Rc::clone(&played).serve(far));
        played
    }

    async fn serve(self: Rc<Self>, far: DuplexStream) {
        let mut connection = h2::server::handshake(far).await.unwrap();
        while let Some(Ok((request, mut to))) = connection.accept().await {
            let played = Rc::clone(&self);
            tokio::task::spawn_local(async move {
                let is_presence = request.method() == Method::OPTIONS;
                if is_presence {
                    played.presences.set(played.presences.get() + 1);
                }
                match is_presence {
                    true if played.is_there => {}
                    true => pending().await,
                    false => sleep(played.takes).await,
                }
                let pause = played.pause.filter(|_| !is_presence);
                // Who asked may have gone.
                let Ok(mut body) = to.send_response(Response::new(()), pause.is_none()) else {
                    return;
                };
                if let Some(pause) = pause {
                    let _ = body.send_data(Bytes::from_static(b"half"), false);
                    sleep(pause).await;
                    let _ = body.send_data(Bytes::from_static(b"half"), true);
                }
            });
        }
    }
}

/// Asks the other edge for something, whose origin has so long.
async fn ask(
    siblings: &Siblings,
    origins_limit: Duration,
    counters: &Arc<Counters>,
) -> Option<Fetched> {
    let mut hashes = (0..100_u8).map(|number| nigh_cluster::hashing::key_hash(&[number]));
    let hash = hashes.find(|hash| siblings.members.owner(*hash) == Some(0)).unwrap();
    let mut request = Request::new(RequestBody::Empty);
    *request.uri_mut() = Uri::from_static("/a");
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("x"));
    siblings.ask(siblings.members.places(hash), (&request, origins_limit), None, counters).await
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_edge_is_waited_for_as_long_as_the_sites_origin_may_take_and_a_little_longer() {
    for (takes, origins_limit, comes) in [(45, 60, true), (64, 60, true), (66, 60, false)] {
        on_a_core(async {
            let siblings = Siblings::new(members(), &client(), None);
            Played::start(takes * SECOND, true, &siblings);
            let answer = ask(&siblings, origins_limit * SECOND, &Arc::default()).await;
            let status = answer.map(|fetched| fetched.head.status);
            assert_eq!(status, comes.then_some(StatusCode::OK), "{takes} s");
        });
    }
}

/// How often an edge was asked whether it is there for a hundred who wait for it.
async fn presences(takes: Duration, is_there: bool) -> usize {
    let siblings = Siblings::new(members(), &client(), None);
    let played = Played::start(takes, is_there, &siblings);
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let siblings = Rc::clone(&siblings);
            tokio::task::spawn_local(async move {
                ask(&siblings, 60 * SECOND, &Arc::default()).await.is_some()
            })
        })
        .collect();
    for one in waiting {
        assert_eq!(one.await.unwrap(), is_there);
    }
    played.presences.get()
}

#[test]
fn an_edge_is_asked_whether_it_is_there_once_for_all_who_wait() {
    on_a_core(async {
        // Each waits for 50 ms, and then for 50 ms again.
        assert_eq!(presences(Duration::from_millis(70), true).await, 1);
        assert_eq!(presences(Duration::from_millis(120), true).await, 2);
    });
}

#[test]
fn that_it_says_nothing_is_known_to_all_who_wait_as_well() {
    on_a_core(async { assert_eq!(presences(30 * SECOND, false).await, 1) });
}

/// A body of an edge that pauses in its midst: what becomes of the second half, and how long that took.
async fn second_half(
    pause: Duration,
    is_there: bool,
    siblings: &Siblings,
) -> (Result<usize, Failure>, Duration) {
    Played::pausing(pause, is_there, siblings);
    let mut answer = ask(siblings, 60 * SECOND, &Arc::default()).await.unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap().len(), 4);
    let since = Instant::now();
    let next = answer.frame().await;
    (next.map(|frame| frame.unwrap().into_data().unwrap().len()), since.elapsed())
}

#[test]
fn a_body_is_given_up_soon_if_its_edge_says_nothing_and_waited_for_if_it_does() {
    on_a_core(async {
        let siblings = Siblings::new(members(), &client(), None);
        let (half, took) = second_half(20 * SECOND, true, &siblings).await;
        assert_eq!((half, took >= 20 * SECOND), (Ok(4), true));
        let siblings = Siblings::new(members(), &client(), None);
        let (half, took) = second_half(20 * SECOND, false, &siblings).await;
        let (Patience { quiet, silence }, most) = (FAR, 2 * SECOND);
        assert_eq!(half, Err(Failure::GivenUp));
        assert!((quiet + silence..most).contains(&took), "{took:?}");
        // It has failed then.
        let other = siblings.list[0].as_ref().unwrap();
        (1..nigh_edge::upstream::FAILURES_MAX).for_each(|_| other.failed());
        assert!(!other.is_available());
    });
}

#[test]
fn without_leave_to_ask_twice_a_body_is_waited_for_until_its_edge_is_left_out() {
    on_a_core(async {
        let siblings = Siblings::new(members(), &client(), None);
        while siblings.hedges.borrow_mut().take() {}
        let (half, _) = second_half(3 * SECOND, false, &siblings).await;
        assert_eq!(half, Ok(4));
        let siblings = Siblings::new(members(), &client(), None);
        while siblings.hedges.borrow_mut().take() {}
        let other = Rc::clone(siblings.list[0].as_ref().unwrap());
        tokio::task::spawn_local(async move {
            sleep(SECOND).await;
            (0..nigh_edge::upstream::FAILURES_MAX).for_each(|_| other.failed());
        });
        let (half, took) = second_half(3 * SECOND, false, &siblings).await;
        assert_eq!((half, took < 2 * SECOND), (Err(Failure::GivenUp), true), "{took:?}");
    });
}

#[test]
fn that_an_edge_has_just_said_nothing_is_known_to_who_asks_it_next() {
    on_a_core(async {
        let siblings = Siblings::new(members(), &client(), None);
        let played = Played::start(30 * SECOND, false, &siblings);
        let since = Instant::now();
        // The next in order is this edge itself.
        assert!(ask(&siblings, 60 * SECOND, &Arc::default()).await.is_none());
        assert!(since.elapsed() >= NEAR.quiet + NEAR.silence);
        let since = Instant::now();
        assert!(ask(&siblings, 60 * SECOND, &Arc::default()).await.is_none());
        assert!(since.elapsed() < NEAR.silence, "{:?}", since.elapsed());
        assert_eq!(played.presences.get(), 1);
    });
}

#[test]
fn what_is_known_of_edges_and_what_may_be_asked_twice_count_over_views() {
    on_a_core(async {
        let (members, client) = (members(), client());
        let before = Siblings::new(Arc::clone(&members), &client, None);
        let other = before.list[0].as_ref().unwrap();
        (0..nigh_edge::upstream::FAILURES_MAX).for_each(|_| other.failed());
        assert!(!other.is_available());
        while before.hedges.borrow_mut().take() {}
        let next = members.next(members.list.clone(), |_| Standing::Drains);
        let after = Siblings::new(next.unwrap(), &client, Some(&before));
        assert!(!after.list[0].as_ref().unwrap().is_available());
        assert!(!after.hedges.borrow_mut().take());
    });
}

#[test]
fn one_request_in_twenty_is_hedged_and_ten_at_once() {
    let mut hedges = Hedges::default();
    assert_eq!((0..100).filter(|_| hedges.take()).count(), 10);
    let taken = (0..1000).filter(|_| {
        hedges.count_request();
        hedges.take()
    });
    assert_eq!(taken.count(), 50);
}
