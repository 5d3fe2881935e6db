//! Rules about what is to be forgotten, and which objects they concern: docs/purge.md.
//!
//! Rules are numbered. An object carries the number of the newest rule that it was held against, and
//! a lookup compares two numbers; only what is behind is held against the rules since.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU32, Ordering},
};

use nigh_base::Wall;
use parking_lot::RwLock;

use crate::{fields::Fields, list};

/// Rules that are held at once; one more, and they become one that removes everything.
pub const RULES_MAX: usize = 4096;
/// Rules above which no sweep waits for what is on its way: what began before a rule that is dropped then
/// is not kept, whatever the rule says.
pub const WAITING_MAX: usize = RULES_MAX / 4;
/// The longest prefix, host or tag, in bytes.
pub const TEXT_MAX: usize = 8192;
/// How long what was purged softly is served while it is revalidated, in seconds, if its own terms do
/// not allow more.
pub const SOFT_WINDOW: u32 = 60;

/// The fields that tags stand in.
pub const TAG_FIELDS: [&str; 2] = [CACHE_TAG, SURROGATE_KEY];
const CACHE_TAG: &str = "cache-tag";
const SURROGATE_KEY: &str = "surrogate-key";

/// What a rule concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Keys that begin with this: a URL up to wherever it ends.
    Prefix(Box<[u8]>),
    /// Keys with this authority, under any scheme.
    Host(Box<[u8]>),
    /// Responses that carry this tag.
    Tag(Box<[u8]>),
    /// Everything.
    All,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it concerns.
    pub what: What,
    /// Whether that becomes stale instead of leaving.
    pub soft: bool,
    /// When it was made.
    pub at: Wall,
}

/// What rules say about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// It has been stale since then.
    Stale(Wall),
    /// It is gone.
    Gone,
}

impl Rule {
    /// Whether it concerns the response under `key` with these fields.
    pub fn concerns(&self, key: &[u8], fields: &impl Fields) -> bool {
        match &self.what {
            What::Tag(tag) => has_tag(fields, tag),
            _ => self.may_concern(key),
        }
    }

    /// Whether it may concern a response under `key` whose fields are not known.
    pub fn may_concern(&self, key: &[u8]) -> bool {
        match &self.what {
            What::Prefix(prefix) => key.starts_with(prefix),
            What::Host(host) => authority(key).eq_ignore_ascii_case(host),
            What::Tag(_) | What::All => true,
        }
    }

    /// Its form on a disk: kind, softness, time, text.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (kind, text): (u8, &[u8]) = match &self.what {
            What::Prefix(text) => (1, text),
            What::Host(text) => (2, text),
            What::Tag(text) => (3, text),
            What::All => (4, &[]),
        };
        [&[kind, self.soft.into()][..], &self.at.millis().to_le_bytes(), text].concat()
    }

    /// The rule that has this form.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[kind, soft], rest) = bytes.split_first_chunk()?;
        let (millis, text) = rest.split_first_chunk()?;
        let what = match kind {
            1 => What::Prefix(text.into()),
            2 => What::Host(text.into()),
            3 => What::Tag(text.into()),
            4 => What::All,
            _ => return None,
        };
        Some(Self { what, soft: soft != 0, at: Wall::from_millis(u64::from_le_bytes(*millis)) })
    }
}

/// The authority in a key, which is a URL.
fn authority(key: &[u8]) -> &[u8] {
    let start = key.windows(3).position(|it| it == b"://").map_or(0, |at| at + 3);
    let rest = &key[start..];
    &rest[..rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len())]
}

fn has_tag(fields: &impl Fields, tag: &[u8]) -> bool {
    let same = |it: &[u8]| it.eq_ignore_ascii_case(tag);
    fields.values(CACHE_TAG).flat_map(list::elements).any(same)
        || fields
            .values(SURROGATE_KEY)
            .flat_map(|line| line.split(u8::is_ascii_whitespace))
            .any(same)
}

/// Where a rule's record stands on the disk: segment, and offset in it.
pub(crate) type Mark = (u32, u64);

/// The rules that are held.
#[derive(Debug, Default)]
pub struct Purges {
    /// The number of the newest.
    newest: AtomicU32,
    /// The newest of those that are not held any more: what was not held against it never will be.
    dropped: AtomicU32,
    rules: RwLock<VecDeque<Held>>,
}

#[derive(Debug)]
struct Held {
    number: u32,
    rule: Rule,
    /// Where it stands on the disk; none if there is no disk, or it has not been written yet.
    mark: Option<Mark>,
}

impl Purges {
    /// The number of the newest rule.
    pub fn newest(&self) -> u32 {
        self.newest.load(Ordering::Acquire)
    }

    /// How many rules are held.
    pub fn len(&self) -> usize {
        self.rules.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a rule, and returns its number and the rule that is to be written to a disk: it is wider
    /// than what was asked for if there are too many.
    pub(crate) fn add(&self, mut rule: Rule) -> (u32, Rule) {
        let mut rules = self.rules.write();
        if rules.len() >= RULES_MAX {
            rule.what = What::All;
            rule.soft &= rules.iter().all(|held| held.rule.soft);
        }
        if rule.what == What::All && !rule.soft {
            // It stands for all that were made before.
            rules.clear();
        }
        let number = self.newest() + 1;
        rules.push_back(Held { number, rule: rule.clone(), mark: None });
        self.newest.store(number, Ordering::Release);
        (number, rule)
    }

    /// Takes in a rule that was found on the disk after a start. All that is in memory is younger.
    pub(crate) fn found(&self, mut rule: Rule, mut mark: Mark) {
        let mut rules = self.rules.write();
        if rules.len() >= RULES_MAX {
            let found = rules.iter().filter(|held| held.number == 0);
            mark = found.filter_map(|held| held.mark).fold(mark, Mark::max);
            rule = Rule { what: What::All, soft: false, at: rule.at };
            rules.retain(|held| held.number > 0);
        }
        rules.push_front(Held { number: 0, rule, mark: Some(mark) });
    }

    /// Notes where a rule was written.
    pub(crate) fn written(&self, number: u32, mark: Mark) {
        let mut rules = self.rules.write();
        if let Some(held) = rules.iter_mut().find(|held| held.number == number) {
            held.mark = Some(mark);
        }
    }

    /// What the rules after number `since` say about an object, and the number up to which it has
    /// been held against them.
    pub(crate) fn judge(&self, since: u32, key: &[u8], fields: &impl Fields) -> (Verdict, u32) {
        let rules = self.rules.read();
        if since < self.dropped.load(Ordering::Acquire) {
            return (Verdict::Gone, self.newest());
        }
        let later = rules.iter().filter(|held| held.number > since);
        (verdict(later.map(|held| &held.rule), key, fields), self.newest())
    }

    /// What the rules say about a record that stands at `mark`: those concern it that were written
    /// later, or are yet to be.
    pub(crate) fn judge_record(&self, mark: Mark, key: &[u8], fields: &impl Fields) -> Verdict {
        let rules = self.rules.read();
        let later = rules.iter().filter(|held| held.mark.is_none_or(|it| it > mark));
        verdict(later.map(|held| &held.rule), key, fields)
    }

    /// Forgets the rules up to number `swept`, against which all of the memory has been held, if
    /// nothing on the disk is older: `oldest` is its oldest segment.
    pub(crate) fn forget(&self, swept: u32, oldest: Option<u32>) {
        let mut dropped = 0;
        let mut rules = self.rules.write();
        rules.retain(|held| {
            let on_disk = match (held.mark, oldest) {
                (Some((segment, _)), Some(oldest)) => segment > oldest,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            let is_held = held.number > swept || on_disk;
            if !is_held {
                dropped = held.number.max(dropped);
            }
            is_held
        });
        self.dropped.fetch_max(dropped, Ordering::Release);
    }
}

fn verdict<'a>(rules: impl Iterator<Item = &'a Rule>, key: &[u8], fields: &impl Fields) -> Verdict {
    let mut verdict = Verdict::Keep;
    for rule in rules.filter(|rule| rule.concerns(key, fields)) {
        match (rule.soft, verdict) {
            (false, _) => return Verdict::Gone,
            (true, Verdict::Stale(since)) => verdict = Verdict::Stale(since.max(rule.at)),
            (true, _) => verdict = Verdict::Stale(rule.at),
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn rule(what: What) -> Rule {
        Rule { what, soft: false, at: Wall::from_secs(1) }
    }

    fn bytes(text: &str) -> Box<[u8]> {
        text.as_bytes().into()
    }

    #[test]
    fn a_rule_concerns_a_prefix_a_host_a_tag_or_everything() {
        let mut fields = HeaderMap::new();
        fields.append("cache-tag", HeaderValue::from_static("News, sport"));
        fields.append("surrogate-key", HeaderValue::from_static("a b  c"));
        let key = b"https://a.example:8443/x/y?z";
        for (what, concerns) in [
            (What::Prefix(bytes("https://a.example:8443/x/")), true),
            (What::Prefix(bytes("http://a.example:8443/x/")), false),
            (What::Host(bytes("A.example:8443")), true),
            (What::Host(bytes("a.example")), false),
            (What::Tag(bytes("news")), true),
            (What::Tag(bytes("new")), false),
            (What::Tag(bytes("b")), true),
            (What::Tag(bytes("a b")), false),
            (What::All, true),
        ] {
            assert_eq!(rule(what.clone()).concerns(key, &fields), concerns, "{what:?}");
            assert!(!concerns || rule(what.clone()).may_concern(key), "{what:?}");
            assert_eq!(Rule::from_bytes(&rule(what.clone()).to_bytes()), Some(rule(what)));
        }
        assert_eq!(Rule::from_bytes(b""), None);
    }

    #[test]
    fn only_rules_that_are_newer_than_an_object_concern_it() {
        let purges = Purges::default();
        let none = HeaderMap::new();
        let judge = |since| purges.judge(since, b"http://a/", &none).0;
        purges.add(Rule { soft: true, ..rule(What::Host(bytes("a"))) });
        purges.add(rule(What::Host(bytes("b"))));
        assert_eq!(judge(0), Verdict::Stale(Wall::from_secs(1)));
        assert_eq!(judge(1), Verdict::Keep);
        purges.add(rule(What::Prefix(bytes("http://a"))));
        assert_eq!([judge(0), judge(2), judge(3)], [Verdict::Gone, Verdict::Gone, Verdict::Keep]);
    }

    #[test]
    fn too_many_rules_become_one_that_removes_everything() {
        let purges = Purges::default();
        for number in 0..=RULES_MAX {
            purges.add(rule(What::Tag(bytes(&number.to_string()))));
        }
        assert_eq!(purges.len(), 1);
        assert_eq!(purges.judge(0, b"http://a/", &HeaderMap::new()).0, Verdict::Gone);
        assert_eq!(purges.newest() as usize, RULES_MAX + 1);
    }

    #[test]
    fn a_rule_is_forgotten_when_nothing_older_is_left() {
        let purges = Purges::default();
        let (first, _) = purges.add(rule(What::Host(bytes("a"))));
        let (second, _) = purges.add(rule(What::Host(bytes("b"))));
        purges.written(first, (3, 80));
        purges.forget(second, Some(2));
        assert_eq!(
            purges.len(),
            2,
            "segment 2 is older than the first, and the second is not written"
        );
        purges.written(second, (3, 160));
        purges.forget(first, Some(3));
        assert_eq!(purges.len(), 1);
        let none = HeaderMap::new();
        assert_eq!(purges.judge_record((3, 100), b"http://b/", &none), Verdict::Gone);
        assert_eq!(purges.judge_record((3, 200), b"http://b/", &none), Verdict::Keep);
        purges.forget(second, None);
        assert!(purges.is_empty());
    }
}
