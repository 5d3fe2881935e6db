//! Settings for all: one value of control state, and what each edge says that it runs.
//!
//! ```text
//! apply:  commit settings = TEXT, which is revision r -> done when every runs/CLUSTER/NAME has r or more
//! edge:   starts: reads r, commits runs/CLUSTER/NAME = r if it is still r, serves
//!         sees r, applies it, says runs/CLUSTER/NAME = r (on a lease: who is gone is not waited for)
//!         cannot use it: goes on with what it runs, and says why
//! ```
//! [`Run`] is what an edge says, [`Applying`] the side of whoever applies. Both are pure.

use std::{collections::BTreeMap, time::Duration};

use nigh_base::Time;

use crate::{
    control::{
        Change, Commit, Condition, Fault, Key, LeaseId, Listing, Prefix, Revision, Transaction,
        Value,
    },
    family::QualifiedName,
};

/// Bytes of what an edge says of settings that it cannot use, at most: some lines for a person.
pub const WHY_MAX: usize = 1024;

/// Where the settings lie.
pub fn settings_key() -> Key {
    Key::new("settings").expect("a short name of plain letters")
}

/// Below which edges say what they run.
pub fn runs() -> Prefix {
    Prefix::new("runs/").expect("a short prefix of plain letters")
}

/// The key under which this edge says what it runs.
pub fn runs_key(edge: &QualifiedName) -> Key {
    edge.key_below(&runs())
}

/// What makes `text` the settings. With `after`, only if those that are there now have this revision:
/// [`Revision::NONE`] if there are none.
///
/// # Errors
/// If the text is too long.
pub fn applying(text: Value, after: Option<Revision>) -> Result<Transaction, Fault> {
    let condition = after.map(|after| match after {
        Revision::NONE => Condition::Absent,
        after => Condition::At(after),
    });
    let put = Change::Put { value: text, lease: None };
    Transaction::new(
        condition.map(|condition| (settings_key(), condition)),
        [(settings_key(), put)],
    )
}

/// What this edge commits before it serves the settings of `revision`, or its own if there are
/// none: it holds only while nobody has applied others.
///
/// # Panics
/// Never: it is short.
pub fn entering(edge: &QualifiedName, revision: Option<Revision>, lease: LeaseId) -> Transaction {
    let condition = revision.map_or(Condition::Absent, Condition::At);
    let run = Run { revision: revision.unwrap_or(Revision::NONE), refused: None };
    let put = Change::Put { value: run.to_value(), lease: Some(lease) };
    let entering = Transaction::new([(settings_key(), condition)], [(runs_key(edge), put)]);
    entering.expect("a condition and a number")
}

/// What an edge says: which settings it runs, and which later ones it cannot use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The commit that put what it runs; [`Revision::NONE`] if none of control state.
    pub revision: Revision,
    /// Later settings that it does not run, and why.
    pub refused: Option<(Revision, String)>,
}

impl Run {
    /// As it stands in control state: a number, or two and the reason. What is too long is cut.
    ///
    /// # Panics
    /// Never: it is short.
    pub fn to_value(&self) -> Value {
        let text = match &self.refused {
            None => self.revision.to_string(),
            Some((refused, why)) => {
                let why = &why[..why.floor_char_boundary(WHY_MAX)];
                format!("{} {refused} {why}", self.revision)
            }
        };
        Value::new(text).expect("it was cut")
    }

    /// What stands there; `None` if it is nothing that this version knows.
    pub fn of(value: &Value) -> Option<Self> {
        let mut words = std::str::from_utf8(value.bytes()).ok()?.splitn(3, ' ');
        let revision = Revision(words.next()?.parse().ok()?);
        let Some(refused) = words.next() else { return Some(Self { revision, refused: None }) };
        let refused =
            (Revision(refused.parse().ok()?), words.next().unwrap_or_default().to_owned());
        Some(Self { revision, refused: Some(refused) })
    }
}

/// How an edge stands with settings that were applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It has not said a word yet, and may run others.
    Waiting,
    /// It runs them, and was heard to this long after.
    Runs(Duration),
    /// It cannot use them, and goes on with what it ran.
    Refused(Duration, String),
    /// It is not there: it reads them before it serves.
    Away,
}

/// Settings on their way to all edges.
#[derive(Clone, Debug)]
pub struct Applying {
    revision: Revision,
    began: Time,
    edges: BTreeMap<QualifiedName, Applied>,
}

impl Applying {
    /// Settings that were committed as `revision` for somebody who asked at `began`, and the edges
    /// that are known to belong to the cluster.
    pub fn new(
        revision: Revision,
        began: Time,
        edges: impl Iterator<Item = QualifiedName>,
    ) -> Self {
        let edges = edges.map(|edge| (edge, Applied::Away)).collect();
        Self { revision, began, edges }
    }

    /// Their number.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// All that edges say, as it is after the settings were committed.
    pub fn listed(&mut self, now: Time, listing: &Listing) {
        for applied in self.edges.values_mut().filter(|it| **it == Applied::Waiting) {
            *applied = Applied::Away;
        }
        for (key, entry) in &listing.entries {
            self.note(now, key, Some(&entry.value));
        }
    }

    /// A commit that touches what edges say, after that.
    pub fn saw(&mut self, now: Time, commit: &Commit) {
        for (key, change) in &commit.changes {
            match change {
                Change::Put { value, .. } => self.note(now, key, Some(value)),
                Change::Delete => self.note(now, key, None),
            }
        }
    }

    /// Whether nobody is waited for any more.
    pub fn is_done(&self) -> bool {
        self.edges.values().all(|applied| *applied != Applied::Waiting)
    }

    /// Each edge, in the order of names.
    pub fn edges(&self) -> impl ExactSizeIterator<Item = (&QualifiedName, &Applied)> {
        self.edges.iter()
    }

    fn note(&mut self, now: Time, key: &Key, said: Option<&Value>) {
        let Some(edge) = QualifiedName::in_key(&runs(), key) else { return };
        let applied = self.edges.entry(edge).or_insert(Applied::Away);
        if matches!(applied, Applied::Runs(_) | Applied::Refused(..)) {
            return;
        }
        let after = now.since(self.began);
        *applied = match said.map(Run::of) {
            None => Applied::Away,
            Some(Some(Run { revision, .. })) if revision >= self.revision => Applied::Runs(after),
            Some(Some(Run { refused: Some((refused, why)), .. })) if refused >= self.revision => {
                Applied::Refused(after, why)
            }
            Some(_) => Applied::Waiting,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{
        Entry, Error, TTL_MIN, Ttl,
        model::{Bounds, State},
    };
    use crate::membership::Name;

    fn value(text: &str) -> Value {
        Value::new(text).unwrap()
    }

    fn run(revision: u64, refused: Option<(u64, &str)>) -> Run {
        let refused = refused.map(|(refused, why)| (Revision(refused), why.to_owned()));
        Run { revision: Revision(revision), refused }
    }

    fn edge(edge: &str) -> QualifiedName {
        let name = |text| Name::new(text).unwrap();
        QualifiedName { cluster: name("eu"), edge: name(edge) }
    }

    fn listing(said: &[(&str, Run)]) -> Listing {
        let entry = |run: &Run| Entry { value: run.to_value(), revision: Revision(1), lease: None };
        let entries = said.iter().map(|(name, run)| (runs_key(&edge(name)), entry(run)));
        Listing { entries: entries.collect(), revision: Revision(9) }
    }

    fn commit(name: &str, run: Option<Run>) -> Commit {
        let change = match run {
            Some(run) => Change::Put { value: run.to_value(), lease: None },
            None => Change::Delete,
        };
        Commit { revision: Revision(10), changes: vec![(runs_key(&edge(name)), change)] }
    }

    fn standing(applying: &Applying) -> Vec<(&str, Applied)> {
        applying.edges().map(|(edge, applied)| (edge.edge.as_str(), applied.clone())).collect()
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_an_edge_says_is_read_as_it_was_meant_and_bounded() {
        for said in [run(0, None), run(7, Some((9, "no such file: a b"))), run(7, Some((9, "")))] {
            assert_eq!(Run::of(&said.to_value()), Some(said));
        }
        let long = run(1, Some((2, &"é".repeat(WHY_MAX)))).to_value();
        assert_eq!(long.bytes().len(), 4 + WHY_MAX);
        for text in ["", "x", "1 x why"] {
            assert_eq!(Run::of(&value(text)), None, "{text}");
        }
        assert_eq!(Run::of(&Value::new([0xff]).unwrap()), None);
    }

    #[test]
    fn of_two_who_apply_after_the_same_revision_one_is_refused() {
        let mut state = State::new(Bounds::default());
        let mut commit = |text: &str, after: Option<Revision>| {
            state.commit(&applying(value(text), after).unwrap(), Time::START)
        };
        let first = commit("a", Some(Revision::NONE)).unwrap();
        assert!(matches!(commit("b", Some(Revision::NONE)), Err(Error::Conflict)));
        let second = commit("b", Some(first)).unwrap();
        assert!(matches!(commit("c", Some(first)), Err(Error::Conflict)));
        assert!(commit("c", None).unwrap() > second);
    }

    #[test]
    fn an_edge_that_starts_is_waited_for_or_has_read_what_was_applied() {
        let mut state = State::new(Bounds::default());
        let lease = LeaseId(1);
        let grant = state.plan_grant(Ttl::new(TTL_MIN).unwrap()).unwrap();
        assert_eq!(grant.0.id, lease);
        state.apply(grant.1, Time::START);
        let mut commit = |transaction: &Transaction| state.commit(transaction, Time::START);
        commit(&entering(&edge("a"), None, lease)).unwrap();
        let first = commit(&applying(value("x"), None).unwrap()).unwrap();
        // It had read nothing, and somebody came first.
        assert!(matches!(commit(&entering(&edge("a"), None, lease)), Err(Error::Conflict)));
        commit(&entering(&edge("a"), Some(first), lease)).unwrap();
        commit(&applying(value("y"), None).unwrap()).unwrap();
        assert!(matches!(commit(&entering(&edge("a"), Some(first), lease)), Err(Error::Conflict)));
        let listing = state.list(&runs());
        assert_eq!(Run::of(&listing.entries[0].1.value), Some(run(first.0, None)));
    }

    #[test]
    fn it_is_done_when_every_edge_that_is_there_runs_it_or_says_why_not() {
        let mut applying =
            Applying::new(Revision(5), Time::START, ["a", "gone"].map(edge).into_iter());
        let said = [("a", run(4, None)), ("b", run(5, None)), ("c", run(3, Some((4, "old"))))];
        applying.listed(Time::START.after(MS), &listing(&said));
        assert!(!applying.is_done());
        assert_eq!(
            standing(&applying),
            [
                ("a", Applied::Waiting),
                ("b", Applied::Runs(MS)),
                ("c", Applied::Waiting),
                ("gone", Applied::Away),
            ]
        );
        applying.saw(Time::START.after(2 * MS), &commit("a", Some(run(6, None))));
        assert!(!applying.is_done());
        let refused = run(3, Some((5, "no key")));
        applying.saw(Time::START.after(3 * MS), &commit("c", Some(refused)));
        assert!(applying.is_done());
        assert_eq!(
            standing(&applying)[..3],
            [
                ("a", Applied::Runs(2 * MS)),
                ("b", Applied::Runs(MS)),
                ("c", Applied::Refused(3 * MS, "no key".to_owned())),
            ]
        );
    }

    #[test]
    fn who_goes_is_not_waited_for_and_who_comes_with_older_ones_is() {
        let mut applying = Applying::new(Revision(5), Time::START, std::iter::empty());
        applying.listed(Time::START, &listing(&[("a", run(4, None))]));
        applying.saw(Time::START, &commit("a", None));
        assert!(applying.is_done());
        assert_eq!(standing(&applying), [("a", Applied::Away)]);
        applying.saw(Time::START, &commit("b", Some(run(0, None))));
        assert!(!applying.is_done());
        // The watch broke off: in the next list it is gone.
        applying.listed(Time::START, &listing(&[]));
        assert!(applying.is_done());
    }

    #[test]
    fn edges_of_one_name_in_two_clusters_are_waited_for_both() {
        let other = QualifiedName { cluster: Name::new("us").unwrap(), ..edge("a") };
        let mut state = State::new(Bounds::default());
        let put = |edge: &QualifiedName, revision| {
            let put = Change::Put { value: run(revision, None).to_value(), lease: None };
            Transaction::new([], [(runs_key(edge), put)]).unwrap()
        };
        let mut applying = Applying::new(Revision(2), Time::START, std::iter::empty());
        let own = edge("a");
        for (edge, revision) in [(&other, 1), (&own, 2)] {
            state.commit(&put(edge, revision), Time::START).unwrap();
        }
        applying.listed(Time::START, &state.list(&runs()));
        assert!(!applying.is_done(), "one of them runs older ones");
        state.commit(&put(&other, 2), Time::START).unwrap();
        applying.listed(Time::START, &state.list(&runs()));
        assert!(applying.is_done());
        assert_eq!(
            applying.edges().map(|(edge, _)| edge.to_string()).collect::<Vec<_>>(),
            ["eu/a", "us/a"]
        );
    }
}
