//! The machine around `foca`: what comes in goes to it, what it wants goes out.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    time::Duration,
};

use nigh_base::{
    Address, Digest, Machine, Rng, Time, Timers,
    machine::{Context, Input, Output},
    wire::Wire,
};

use super::{
    Carried, Command, Contact, Event, MEMBERS_MAX, Member, Name, Settings, State, VIA_MAX,
    codec::{Codec, Listener, Stream, reminder},
    identity::Identity,
    ledger::Shared,
    message::{Body, Message, PACKET_MAX},
    record::Record,
    runtime::{Effects, Fit, SwimTimer, SwimTimers, Turn},
};

/// The waits between tries to join.
const JOIN_FIRST: Duration = Duration::from_secs(1);
const JOIN_LONGEST: Duration = Duration::from_secs(30);
/// Whom one try asks.
const JOIN_ASKS: usize = 3;
/// How often a page of what members carry is asked for, while some word is missing and otherwise.
const ASK_SOON: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_secs(10);
/// A wake that comes later than this comes after a stop.
const LATE: Duration = Duration::from_millis(500);
/// How long the word that a node leaves goes round before it goes.
const LEAVE_AFTER: Duration = Duration::from_secs(2);

/// Bytes of the shortest identity: a name of one letter at an IPv4 address.
const IDENTITY_LEAST: usize = 2 + 7 + 8;

type Swim = foca::Foca<Identity, Codec, Stream, Listener>;

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing {
    /// Nobody else is known to be there.
    Alone,
    Member,
    Gone,
}

/// What a node waits for beside what `foca` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The next try to join.
    Join,
    /// The next page of what members carry.
    Ask,
    /// When a changed load may be told.
    Load,
    /// The next reminder to those whom this node suspects.
    Remind,
    /// The end of the time in which others hear that this node leaves.
    Leave,
}

/// What a node has sent and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes in them, without the headers of what carries them.
    pub sent_bytes: u64,
    /// Datagrams that `foca` refused: of no form, of nobody, or from a life that is over.
    pub refused: u64,
}

/// A member of a cluster, as a machine.
pub struct Node {
    me: Contact,
    settings: Settings,
    ledger: Shared,
    /// There from the first command to join until the node has left.
    swim: Option<Box<Swim>>,
    standing: Standing,
    leaving: bool,
    swim_timers: SwimTimers,
    timers: Timers<Timer>,
    via: Vec<Contact>,
    join_attempts: u32,
    /// Where the next page is to begin.
    cursor: Name,
    /// When a load was last told.
    load_told: Option<Time>,
    /// Whom this node suspects by its own pings, and in which incarnation: one a period at most, until
    /// the suspicion is over.
    suspects: BTreeMap<Name, (Identity, u16)>,
    /// How many members the numbers that depend on it were last worked out for.
    fitted: Fit,
    /// What `foca` holds cannot be seen, but it follows from what it was given: this is of all that.
    trace: Digest,
    counters: Counters,
    /// Whom a settled node knows before it begins; its first word they know too.
    known: Vec<Identity>,
    is_settled: bool,
}

impl Node {
    /// The edge `me` in a life of that generation, which has to be higher than that of each life
    /// before: the milliseconds since 1970 at which the process started do.
    ///
    /// # Panics
    /// If the settings do not fit together.
    pub fn new(me: Contact, generation: u64, settings: Settings) -> Self {
        settings.check();
        let carried = Carried { capacity: 1, ..Carried::default() };
        let name = me.name.clone();
        let own = Record { name: name.clone(), generation, version: 0, carried, leaving: false };
        Self {
            fitted: Fit::of(&settings, 1),
            me,
            settings,
            ledger: Shared::new(own),
            swim: None,
            standing: Standing::Alone,
            leaving: false,
            swim_timers: SwimTimers::default(),
            timers: Timers::default(),
            via: Vec::new(),
            join_attempts: 0,
            cursor: name,
            load_told: None,
            suspects: BTreeMap::new(),
            trace: Digest::default(),
            counters: Counters::default(),
            known: Vec::new(),
            is_settled: false,
        }
    }

    /// A node that knows these others from the start, all in the life of `generation`: as when all
    /// has settled. It begins with [`Command::Join`]. For simulations of many.
    ///
    /// # Panics
    /// If the settings do not fit together.
    pub fn settled(me: Contact, generation: u64, others: &[Contact], settings: Settings) -> Self {
        let mut node = Self::new(me, generation, settings);
        let others = others.iter().filter(|it| it.name != node.me.name);
        node.known = others.map(|it| Identity::new(it.clone(), generation)).collect();
        node
    }

    /// The name and the address of this node.
    pub const fn contact(&self) -> &Contact {
        &self.me
    }

    /// Which of its lives this is.
    pub fn generation(&self) -> u64 {
        self.ledger.lock().own.generation
    }

    /// Whether it is in touch with others.
    pub fn is_member(&self) -> bool {
        self.standing == Standing::Member
    }

    /// All others that it knows, in the order of names. Costs a copy of the table: ask when an event
    /// has come, and publish.
    pub fn members(&self) -> Vec<Member> {
        self.ledger.lock().members()
    }

    /// What it knows of one other.
    pub fn member(&self, name: &Name) -> Option<Member> {
        self.ledger.lock().member(name)
    }

    /// How many others stand so. Costs a look at each, and no copy.
    pub fn count(&self, which: impl Fn(State) -> bool) -> usize {
        self.ledger.lock().states().filter(|&it| which(it)).count()
    }

    /// What it carries itself.
    pub fn carried(&self) -> Carried {
        self.ledger.lock().own.carried
    }

    /// What it has sent and refused.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    fn command(&mut self, command: Command, cx: &mut Context<'_, Self>) {
        match command {
            Command::Join { via } => self.join(via, cx),
            Command::Carry(carried) => self.carry(carried, cx),
            Command::Leave => self.leave(cx),
        }
    }

    fn join(&mut self, via: Vec<Contact>, cx: &mut Context<'_, Self>) {
        if self.leaving {
            return;
        }
        let others = via.into_iter().filter(|it| it.name != self.me.name);
        for contact in others {
            self.via.retain(|it| it.name != contact.name);
            self.via.push(contact);
        }
        self.via.truncate(VIA_MAX);
        if self.swim.is_none() {
            self.begin(cx);
        }
        if self.standing == Standing::Alone {
            self.join_attempts = 0;
            self.try_to_join(cx);
        }
    }

    fn begin(&mut self, cx: &mut Context<'_, Self>) {
        let config = self.fitted.config(&self.settings);
        let stream = Stream(Rng::new(cx.rng.next_u64()));
        let identity = Identity::new(self.me.clone(), self.generation());
        let (codec, listener) = (Codec(self.ledger.clone()), Listener(self.ledger.clone()));
        let swim = Swim::with_custom_broadcast(identity, config, stream, codec, listener);
        self.swim = Some(Box::new(swim));
        let known = std::mem::take(&mut self.known);
        self.is_settled = !known.is_empty();
        if known.is_empty() {
            return;
        }
        let mut ledger = self.ledger.lock();
        for identity in &known {
            let (name, generation) = (identity.name.clone(), identity.generation);
            let carried = Carried { capacity: 1, ..Carried::default() };
            let record = Record { name, generation, version: 0, carried, leaving: false };
            ledger.settle(identity.clone(), record);
        }
        drop(ledger);
        self.drive(cx, |swim, effects| {
            let known = known.into_iter().map(foca::Member::alive);
            swim.apply_many(known, false, effects)
        });
    }

    /// Announces this node to a few who may be there, and asks them for the last word that was heard
    /// of it: its clock may have gone back since an earlier life.
    fn try_to_join(&mut self, cx: &mut Context<'_, Self>) {
        let mut ways = self.ways_in();
        cx.rng.shuffle(&mut ways);
        ways.truncate(JOIN_ASKS);
        for contact in ways {
            let from = self.me.name.clone();
            self.send(contact.address, Body::Ask { from }, cx);
            // Whoever is there takes it for himself, whatever his generation.
            let identity = Identity::new(contact, 0);
            self.drive(cx, |swim, effects| swim.announce(identity, effects));
        }
        let wait = JOIN_FIRST * 2u32.saturating_pow(self.join_attempts.min(8));
        self.join_attempts = self.join_attempts.saturating_add(1);
        if self.standing == Standing::Alone {
            self.timers.set(Timer::Join, cx.now.after(wait.min(JOIN_LONGEST)));
        }
    }

    /// Who may be there: whom the caller has named, and who was there once.
    fn ways_in(&self) -> Vec<Contact> {
        let ledger = self.ledger.lock();
        let gone = ledger.gone().map(|row| {
            let Identity { name, address, .. } = row.identity.clone();
            Contact { name, address }
        });
        self.via.iter().cloned().chain(gone).collect()
    }

    fn carry(&mut self, carried: Carried, cx: &mut Context<'_, Self>) {
        let before = std::mem::replace(&mut self.ledger.lock().own.carried, carried);
        if before == carried {
            return;
        }
        let is_load = Carried { load: carried.load, ..before } == carried;
        let next = self.load_told.map_or(cx.now, |told| told.after(self.settings.load_every));
        if is_load && cx.now < next {
            self.timers.set(Timer::Load, next);
        } else {
            self.speak(cx);
        }
    }

    /// Has what this node carries passed on, as its latest word.
    fn speak(&mut self, cx: &mut Context<'_, Self>) {
        self.timers.clear(Timer::Load);
        self.load_told = Some(cx.now);
        let mut ledger = self.ledger.lock();
        ledger.own.version = ledger.own.version.saturating_add(1);
        let word = ledger.own.encode();
        drop(ledger);
        self.drive(cx, |swim, _| swim.add_broadcast(&word).map(drop));
    }

    fn leave(&mut self, cx: &mut Context<'_, Self>) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.ledger.lock().own.leaving = true;
        if self.standing == Standing::Member {
            self.speak(cx);
            self.timers.set(Timer::Leave, cx.now.after(LEAVE_AFTER));
        } else {
            self.go(cx);
        }
    }

    fn go(&mut self, cx: &mut Context<'_, Self>) {
        self.drive(cx, |swim, effects| swim.leave_cluster(effects));
        self.swim = None;
        self.standing = Standing::Gone;
        self.swim_timers = SwimTimers::default();
        self.timers = Timers::default();
        cx.tell(Event::Gone);
    }

    /// Asks somebody for a page: from the first whose word is missing, or from where the last one
    /// ended.
    fn ask(&mut self, cx: &mut Context<'_, Self>) {
        let ledger = self.ledger.lock();
        let missing = ledger.active().find(|row| row.record.is_none());
        let missing = missing.map(|row| row.identity.name.clone());
        let count = ledger.active().count();
        if count == 0 {
            return;
        }
        let to = ledger.active().nth(cx.rng.index(count)).map(|row| row.identity.address);
        drop(ledger);
        let wait = if missing.is_some() { ASK_SOON } else { ASK_EVERY };
        self.timers.set(Timer::Ask, cx.now.after(wait));
        if let Some(to) = to {
            self.send(to, Body::Ask { from: missing.unwrap_or_else(|| self.cursor.clone()) }, cx);
        }
    }

    fn receive(&mut self, from: Address, body: Body, cx: &mut Context<'_, Self>) {
        if self.swim.is_none() {
            return;
        }
        match body {
            Body::Swim(packet) => {
                self.trace.write(&packet);
                self.drive(cx, |swim, effects| swim.handle_data(&packet, effects));
            }
            Body::Ask { from: first } => {
                let page = Body::page(self.ledger.lock().records(&first));
                self.send(from, page, cx);
            }
            Body::Records(records) => {
                if let Some(last) = records.last() {
                    self.cursor = last.name.clone();
                }
                let mut ledger = self.ledger.lock();
                let news = records.into_iter().filter(|it| ledger.take(it.clone())).count();
                let is_missing = ledger.active().any(|row| row.record.is_none());
                drop(ledger);
                self.settle(Vec::new(), cx);
                if news > 0 && is_missing && self.standing == Standing::Member {
                    self.ask(cx);
                }
            }
        }
    }

    fn send(&mut self, to: Address, body: Body, cx: &mut Context<'_, Self>) {
        let message = Message(body);
        self.counters.sent += 1;
        self.counters.sent_bytes += message.length() as u64;
        cx.send(to, message);
    }

    fn wake(&mut self, cx: &mut Context<'_, Self>) {
        if self.settings.waits_anew {
            self.wait_anew(cx.now);
        }
        // `foca` asks for nothing sooner than it was called, and each of its waits takes time.
        while let Some(timer) = self.swim_timers.expired(cx.now) {
            match &timer {
                // `foca` 2.0.0 tells a member that it is down when a suspicion ends, even if the
                // member has refuted it: it would begin another life for nothing.
                SwimTimer::ChangeSuspectToDown { member_id, incarnation, .. }
                    if !self.ledger.lock().suspects(member_id, *incarnation) =>
                {
                    continue;
                }
                SwimTimer::RemoveDown(identity) => self.ledger.lock().forget(identity),
                _ => {}
            }
            self.trace.write_u64(self.swim_timers.asked);
            self.drive(cx, |swim, effects| swim.handle_timer(timer, effects));
        }
        while let Some(timer) = self.timers.expired(cx.now) {
            match timer {
                Timer::Join => self.try_to_join(cx),
                Timer::Ask => self.ask(cx),
                Timer::Load => self.speak(cx),
                Timer::Remind => self.remind(cx),
                Timer::Leave => self.go(cx),
            }
        }
    }

    /// After a stop, first reads what came meanwhile: the time in which this node did not run is no
    /// time in which others were silent.
    fn wait_anew(&mut self, now: Time) {
        let late = self.swim_timers.next().map_or(Duration::ZERO, |due| now.since(due));
        if late > LATE {
            self.swim_timers.delay(late + self.settings.answer_within);
        }
    }

    /// Lets `foca` do something, and does what follows.
    fn drive(
        &mut self,
        cx: &mut Context<'_, Self>,
        act: impl FnOnce(&mut Swim, &mut Effects<'_, '_, '_>) -> Result<(), foca::Error>,
    ) {
        let Some(swim) = &mut self.swim else { return };
        self.trace.write_u64(cx.now.nanos());
        let mut turns = Vec::new();
        let mut effects = Effects {
            cx,
            timers: &mut self.swim_timers,
            turns: &mut turns,
            counters: &mut self.counters,
        };
        if act(swim, &mut effects).is_err() {
            self.counters.refused += 1;
        }
        self.settle(turns, cx);
    }

    /// What has to be told and done after a change.
    fn settle(&mut self, turns: Vec<Turn>, cx: &mut Context<'_, Self>) {
        let mut ledger = self.ledger.lock();
        let news = std::mem::take(&mut ledger.news);
        let echo = ledger.echo.take();
        drop(ledger);
        let mut has_news = echo.is_some();
        for turn in turns {
            has_news |= self.turn(turn, cx);
        }
        news.into_iter().for_each(|event| cx.tell(event));
        self.fit();
        if let Some((generation, version)) = echo {
            self.outdo(generation, version, cx);
        }
        if has_news {
            self.speak(cx);
        }
    }

    /// How this node itself stands now; true if others have to hear what it carries.
    fn turn(&mut self, turn: Turn, cx: &mut Context<'_, Self>) -> bool {
        match turn {
            Turn::Joined => {
                self.standing = Standing::Member;
                self.timers.clear(Timer::Join);
                self.timers.set(Timer::Ask, cx.now.after(ASK_SOON));
                cx.tell(Event::Joined);
                // Of a settled one all know the first word.
                !std::mem::take(&mut self.is_settled) || self.ledger.lock().own.version > 0
            }
            Turn::Alone => {
                self.standing = Standing::Alone;
                self.join_attempts = 0;
                self.timers.clear(Timer::Ask);
                self.timers.set(Timer::Join, cx.now.after(JOIN_FIRST));
                cx.tell(Event::Alone);
                false
            }
            Turn::Renewed(generation) => {
                self.ledger.lock().own.generation = generation;
                cx.tell(Event::Renewed { generation });
                true
            }
            Turn::Suspects(identity, incarnation) => {
                if self.suspects.is_empty() {
                    self.timers.set(Timer::Remind, cx.now.after(self.settings.answer_within));
                }
                self.suspects.insert(identity.name.clone(), (identity, incarnation));
                false
            }
        }
    }

    /// Tells those whom this node suspects, with a ping: neither has to rely on others then, whose
    /// words miss a member now and then. Lifeguard's buddy system.
    fn remind(&mut self, cx: &mut Context<'_, Self>) {
        let Some(swim) = &self.swim else { return };
        let me = swim.identity().clone();
        let ledger = self.ledger.lock();
        self.suspects.retain(|_, (identity, incarnation)| ledger.suspects(identity, *incarnation));
        drop(ledger);
        let suspects: Vec<(Identity, u16)> = self.suspects.values().cloned().collect();
        for (identity, incarnation) in &suspects {
            let packet = reminder(&me, identity, *incarnation);
            self.send(identity.address, Body::Swim(packet), cx);
        }
        if !suspects.is_empty() {
            self.timers.set(Timer::Remind, cx.now.after(self.settings.probe_every));
        }
    }

    /// Others have a word of this node that it has not said in this life: it goes on from there. If
    /// it is from a later life, the clock has gone back since.
    fn outdo(&mut self, generation: u64, version: u64, cx: &mut Context<'_, Self>) {
        let mut ledger = self.ledger.lock();
        ledger.own.version = ledger.own.version.max(version);
        if generation <= ledger.own.generation {
            return;
        }
        let generation = generation.saturating_add(1);
        ledger.own.generation = generation;
        drop(ledger);
        let identity = Identity::new(self.me.clone(), generation);
        self.drive(cx, |swim, effects| swim.change_identity(identity, effects));
        cx.tell(Event::Renewed { generation });
    }

    /// Has `foca` take other numbers where there are more members, or fewer.
    fn fit(&mut self) {
        let Some(swim) = &mut self.swim else { return };
        let fit = Fit::of(&self.settings, swim.num_members() + 1);
        if fit != self.fitted {
            self.fitted = fit;
            let config = self.fitted.config(&self.settings);
            if let Some(swim) = &mut self.swim {
                swim.set_config(config).expect("what may not change has not");
            }
        }
    }
}

impl Machine for Node {
    type Message = Message;
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, input: Input<Message, Command>, cx: &mut Context<'_, Self>) {
        match input {
            Input::Wake => self.wake(cx),
            Input::Message { from, message } => self.receive(from, message.0, cx),
            Input::Command(command) => self.command(command, cx),
            // Members talk in datagrams, and save nothing.
            Input::Opened { link, .. } => cx.emit(Output::Close { link }),
            Input::Received { .. }
            | Input::Drained { .. }
            | Input::Closed { .. }
            | Input::Saved { .. }
            | Input::Loaded { .. }
            | Input::Failed { .. } => {}
        }
    }

    fn wake_at(&self) -> Option<Time> {
        [self.swim_timers.next(), self.timers.next()].into_iter().flatten().min()
    }

    fn digest(&self, digest: &mut Digest) {
        self.me.hash(digest);
        self.settings.hash(digest);
        self.ledger.lock().hash(digest);
        (self.standing, self.leaving, self.join_attempts).hash(digest);
        self.timers.hash(digest);
        self.via.hash(digest);
        self.cursor.hash(digest);
        self.load_told.hash(digest);
        self.suspects.hash(digest);
        self.fitted.hash(digest);
        self.counters.hash(digest);
        (&self.known, self.is_settled).hash(digest);
        digest.write_u64(self.swim_timers.asked);
        self.swim_timers.due.keys().for_each(|key| key.hash(digest));
        digest.write_u64(self.trace.value());
    }

    fn check(&self) {
        let ledger = self.ledger.lock();
        // A packet may name as many unknown ones as have room in it.
        assert!(
            ledger.len() <= MEMBERS_MAX + PACKET_MAX / IDENTITY_LEAST,
            "{} members",
            ledger.len()
        );
        assert!(ledger.news.is_empty() && ledger.echo.is_none(), "everything was told");
        assert!(self.via.len() <= VIA_MAX);
        let Some(swim) = &self.swim else { return };
        assert_eq!(swim.identity().generation, ledger.own.generation, "one life at a time");
        assert_eq!(swim.num_members(), ledger.active().count(), "both know the same members");
        // Of its own earlier lives `foca` knows that they are over.
        let others = |it: &&foca::Member<Identity>| it.id().name != self.me.name;
        for member in swim.iter_membership_state().filter(others) {
            let row = ledger.member(&member.id().name);
            let row = row.unwrap_or_else(|| panic!("{:?} is missing", member.id()));
            let known = (row.generation, row.incarnation, row.address);
            let id = member.id();
            assert_eq!(known, (id.generation, member.incarnation(), id.address));
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("me", &self.me)
            .field("standing", &self.standing)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
