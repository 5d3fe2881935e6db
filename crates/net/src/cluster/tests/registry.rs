//! What every registry does, whatever it remembers in: the same tests for all.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use nigh_base::Wall;
use nigh_cluster::control::{
    Answer, Control, Entry, Error, Key, Lease, LeaseId, Listing, Prefix, Revision, Transaction,
    Ttl, Watch, model::Bounds, twin::Twin,
};
use parking_lot::Mutex;

use crate::{
    cluster::{
        authority::{Authority, LIFETIME},
        identity::JoinId,
        name::Name,
        registry::{Entries, Files, Member, Refusal, Registry, TOKENS_MAX},
        testing::{Folder, SetClock, authority, edge, name},
        token::{self, Kept, Token, TokenId},
    },
    control::redb::Redb,
    entropy::OsSecrets,
};

/// A registry, and what an authority's owner asks of it.
trait Remembers: Registry + Clone {
    async fn add_token(&self, id: TokenId, kept: &Kept, now: Wall) -> io::Result<()>;
    async fn members(&self, now: Wall) -> io::Result<Vec<Member>>;
    async fn revoke(&self, name: &Name, now: Wall) -> io::Result<bool>;
    async fn revoked(&self, now: Wall) -> io::Result<BTreeSet<JoinId>>;
}

impl Remembers for Files {
    async fn add_token(&self, id: TokenId, kept: &Kept, now: Wall) -> io::Result<()> {
        Self::add_token(self, id, kept, now)
    }
    async fn members(&self, now: Wall) -> io::Result<Vec<Member>> {
        Self::members(self, now)
    }
    async fn revoke(&self, name: &Name, now: Wall) -> io::Result<bool> {
        Self::revoke(self, name, now)
    }
    async fn revoked(&self, now: Wall) -> io::Result<BTreeSet<JoinId>> {
        Self::revoked(self, now)
    }
}

impl Remembers for Entries {
    async fn add_token(&self, id: TokenId, kept: &Kept, now: Wall) -> io::Result<()> {
        Self::add_token(self, id, kept, now).await
    }
    async fn members(&self, now: Wall) -> io::Result<Vec<Member>> {
        Self::members(self, now).await
    }
    async fn revoke(&self, name: &Name, now: Wall) -> io::Result<bool> {
        Self::revoke(self, name, now).await
    }
    async fn revoked(&self, _: Wall) -> io::Result<BTreeSet<JoinId>> {
        Self::revoked(self).await
    }
}

/// A registry under test, and an authority that asks it.
struct Rig<R> {
    registry: R,
    authority: Authority,
    clock: SetClock,
    _folder: Folder,
}

impl<R: Remembers> Rig<R> {
    fn now(&self) -> Wall {
        self.clock.now()
    }

    fn token(&self) -> Token {
        let expires = self.now().after(token::LIFETIME);
        let (addresses, fingerprint) = (vec!["a:1".parse().unwrap()], self.authority.fingerprint());
        Token::draw(name("eu"), addresses, fingerprint, expires, &mut OsSecrets::new()).unwrap()
    }

    async fn kept_token(&self) -> Token {
        let token = self.token();
        self.registry.add_token(token.id, &token.kept(), self.now()).await.unwrap();
        token
    }

    fn member(&self, edge: &str) -> Member {
        let join = JoinId::draw(&mut OsSecrets::new());
        Member { name: name(edge), join, ends: self.ends() }
    }

    /// When a certificate ends that is made now: in whole seconds.
    fn ends(&self) -> Wall {
        Wall::from_secs(self.now().after(LIFETIME).secs())
    }

    async fn admit(&self, token: &Token, member: &Member) -> Result<(), Refusal> {
        self.registry.admit(token, member.clone(), self.now()).await
    }

    async fn members(&self) -> Vec<Member> {
        self.registry.members(self.now()).await.unwrap()
    }
}

async fn a_token_is_good_once_and_a_guess_uses_nothing_up<R: Remembers>(rig: Rig<R>) {
    let (token, member) = (rig.kept_token().await, rig.member("eu-1"));
    let mut guess = rig.token();
    assert!(matches!(rig.admit(&guess, &member).await, Err(Refusal::Token)), "nobody made it");
    guess.id = token.id;
    assert!(matches!(rig.admit(&guess, &member).await, Err(Refusal::Token)), "another secret");
    rig.admit(&token, &member).await.unwrap();
    assert_eq!(rig.members().await, std::slice::from_ref(&member));
    assert!(matches!(rig.admit(&token, &rig.member("eu-2")).await, Err(Refusal::Token)));
    assert_eq!(rig.members().await, [member]);
}

async fn a_name_is_taken_until_its_certificate_ends<R: Remembers>(rig: Rig<R>) {
    let first = rig.member("eu-1");
    rig.admit(&rig.kept_token().await, &first).await.unwrap();
    let token = rig.kept_token().await;
    let second = rig.member("eu-1");
    assert!(matches!(rig.admit(&token, &second).await, Err(Refusal::NameTaken)));
    rig.admit(&token, &rig.member("eu-2")).await.unwrap();
    rig.clock.advance(LIFETIME + Duration::from_secs(1));
    let third = rig.member("eu-1");
    rig.admit(&rig.kept_token().await, &third).await.unwrap();
    assert_eq!(rig.members().await, [third]);
}

async fn a_token_expires_and_makes_room<R: Remembers>(rig: Rig<R>) {
    let token = rig.kept_token().await;
    for _ in 1..TOKENS_MAX {
        rig.kept_token().await;
    }
    let more = rig.token();
    assert!(rig.registry.add_token(more.id, &more.kept(), rig.now()).await.is_err());
    rig.clock.advance(token::LIFETIME + Duration::from_secs(1));
    assert!(matches!(rig.admit(&token, &rig.member("eu-1")).await, Err(Refusal::Expired)));
    rig.kept_token().await;
}

async fn who_was_put_out_is_not_renewed_and_its_name_is_free<R: Remembers>(rig: Rig<R>) {
    let credentials = edge(&rig.authority, "eu-1", rig.now());
    let identity = credentials.identity();
    let join = identity.serial.join();
    let member = Member { join, ..rig.member("eu-1") };
    rig.admit(&rig.kept_token().await, &member).await.unwrap();
    rig.clock.advance(LIFETIME / 2);
    let ends = rig.ends();
    rig.registry.renew(identity, ends, rig.now()).await.unwrap();
    assert_eq!(rig.members().await, [Member { ends, ..member.clone() }]);
    // A renewal that was answered late takes nothing back.
    rig.registry.renew(identity, member.ends, rig.now()).await.unwrap();
    assert_eq!(rig.members().await[0].ends, ends);
    assert!(rig.registry.revoked(rig.now()).await.unwrap().is_empty());
    assert!(rig.registry.revoke(&name("eu-1"), rig.now()).await.unwrap());
    assert!(!rig.registry.revoke(&name("eu-1"), rig.now()).await.unwrap());
    assert!(!rig.registry.revoke(&name("eu-2"), rig.now()).await.unwrap());
    assert_eq!(rig.registry.revoked(rig.now()).await.unwrap(), BTreeSet::from([join]));
    let renewed = rig.registry.renew(identity, ends, rig.now()).await;
    assert!(matches!(renewed, Err(Refusal::NotMember)));
    let next = rig.member("eu-1");
    rig.admit(&rig.kept_token().await, &next).await.unwrap();
    let renewed = rig.registry.renew(identity, ends, rig.now()).await;
    assert!(matches!(renewed, Err(Refusal::NotMember)), "the name is another's now");
    // What would have ended anyway is forgotten when it is next looked through.
    rig.clock.advance(3 * LIFETIME);
    let last = rig.member("eu-3");
    rig.admit(&rig.kept_token().await, &last).await.unwrap();
    rig.registry.revoke(&name("eu-3"), rig.now()).await.unwrap();
    assert_eq!(rig.registry.revoked(rig.now()).await.unwrap(), BTreeSet::from([last.join]));
}

async fn of_many_who_use_a_token_at_once_one_gets_in<R: Remembers>(rig: Rig<R>) {
    for round in 0..8 {
        let token = rig.kept_token().await;
        let members = [0, 1, 2].map(|number| rig.member(&format!("e-{round}-{number}")));
        let [a, b, c] = &members;
        let all = tokio::join!(rig.admit(&token, a), rig.admit(&token, b), rig.admit(&token, c));
        let wins = [all.0, all.1, all.2].into_iter().filter(Result::is_ok).count();
        assert_eq!((wins, rig.members().await.len()), (1, round + 1));
    }
}

fn rig<R>(registry: R, folder: Folder) -> Rig<R> {
    let clock = SetClock::new();
    Rig { registry, authority: authority(clock.now()), clock, _folder: folder }
}

fn files() -> Rig<Files> {
    let folder = Folder::new("registry");
    rig(Files::open(folder.path()).unwrap(), folder)
}

fn twin() -> Rig<Entries> {
    rig(Entries::new(Arc::new(Twin::new(Bounds::default()))), Folder::new("registry"))
}

async fn redb() -> Rig<Entries> {
    let folder = Folder::new("registry");
    let control = Redb::open(&folder.path().join("state")).await.unwrap();
    rig(Entries::new(Arc::new(control)), folder)
}

/// Each of these tests with each registry.
macro_rules! for_all {
    ($($test:ident),*) => {
        mod with_files { $(#[tokio::test] async fn $test() { super::$test(super::files()).await; })* }
        mod with_twin { $(#[tokio::test] async fn $test() { super::$test(super::twin()).await; })* }
        mod with_redb { $(#[tokio::test] async fn $test() { super::$test(super::redb().await).await; })* }
        mod with_lost_answers {
            $(#[tokio::test] async fn $test() { super::$test(super::lossy()).await; })*
        }
    };
}

for_all!(
    a_token_is_good_once_and_a_guess_uses_nothing_up,
    a_name_is_taken_until_its_certificate_ends,
    a_token_expires_and_makes_room,
    who_was_put_out_is_not_renewed_and_its_name_is_free,
    of_many_who_use_a_token_at_once_one_gets_in
);

/// Control state that loses the answer to every second commit with conditions, which was made.
#[derive(Debug)]
struct Lossy {
    twin: Twin,
    count: Mutex<u64>,
}

fn lossy() -> Rig<Entries> {
    let lossy = Lossy { twin: Twin::new(Bounds::default()), count: Mutex::new(0) };
    rig(Entries::new(Arc::new(lossy)), Folder::new("registry"))
}

impl Control for Lossy {
    fn get<'a>(&'a self, key: &'a Key) -> Answer<'a, Option<Entry>> {
        self.twin.get(key)
    }
    fn list<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Listing> {
        self.twin.list(prefix)
    }
    fn commit(&self, transaction: Transaction) -> Answer<'_, Revision> {
        Box::pin(async move {
            let has_conditions = transaction.conditions().len() > 0;
            let made = self.twin.commit(transaction).await?;
            let mut count = self.count.lock();
            *count += u64::from(has_conditions);
            match has_conditions && *count % 2 == 1 {
                true => Err(Error::Unavailable { source: None }),
                false => Ok(made),
            }
        })
    }
    fn watch<'a>(&'a self, prefix: &'a Prefix, after: Revision) -> Answer<'a, Box<dyn Watch>> {
        self.twin.watch(prefix, after)
    }
    fn grant(&self, ttl: Ttl) -> Answer<'_, Lease> {
        self.twin.grant(ttl)
    }
    fn keep_alive(&self, lease: LeaseId) -> Answer<'_, ()> {
        self.twin.keep_alive(lease)
    }
    fn revoke(&self, lease: LeaseId) -> Answer<'_, ()> {
        self.twin.revoke(lease)
    }
}
