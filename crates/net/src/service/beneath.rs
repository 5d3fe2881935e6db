//! Looking on the disk for what memory does not hold.

use std::rc::Rc;

use nigh_edge::{
    cache_status::Forward,
    plan::{self, Fetch, Plan},
    problem::Problem,
};

use super::{Answer, Ask, Service};

/// What is to be done after a look.
pub(super) enum Looked {
    /// It was there.
    Answer(Answer),
    /// The origin has to be asked, perhaps whether what was there is still right.
    Fetch(Rc<Ask>, Fetch),
}

impl Service {
    /// Brings what the disk holds for a request into memory, and plans anew.
    pub(super) async fn look_beneath(self: &Rc<Self>, ask: Rc<Ask>, fetch: Fetch) -> Looked {
        let is_missing = matches!(fetch.status.forward, Some(Forward::UriMiss | Forward::VaryMiss));
        let Some(disk) = self.disk.as_ref().filter(|_| is_missing && fetch.stale.is_none()) else {
            return Looked::Fetch(ask, fetch);
        };
        let key = self.store.key(&ask.key);
        let suffices = || self.store.find(key, &ask.fields, &mut Vec::new()).is_some();
        if !disk.load(&self.store, key, suffices).await {
            return match fetch.directives.only_if_cached {
                true => Looked::Answer(Answer::Problem(Problem::OnlyIfCached, fetch.status)),
                false => Looked::Fetch(ask, fetch),
            };
        }
        let (ask, again) = self.plan_again(&ask);
        match again {
            Plan::Answer(mut hit) | Plan::Gather(mut hit) => {
                if let Some(what) = hit.meanwhile {
                    self.improve((*ask).clone(), hit.object.clone(), what);
                }
                hit.status.detail.get_or_insert("disk");
                Looked::Answer(Answer::Stored(hit))
            }
            // It is no longer there, or another's hash is the same.
            Plan::Fetch(fetch) if fetch.directives.only_if_cached => {
                Looked::Answer(Answer::Problem(Problem::OnlyIfCached, fetch.status))
            }
            Plan::Fetch(fetch) => Looked::Fetch(ask, fetch),
            Plan::Refuse(problem) => Looked::Answer(Answer::Problem(problem, fetch.status)),
        }
    }

    /// Plans a request anew: what is stored is another thing now.
    pub(super) fn plan_again(&self, ask: &Rc<Ask>) -> (Rc<Ask>, Plan) {
        let rule = ask.route.rule();
        let request = plan::Request {
            method: &ask.method,
            fields: &ask.fields,
            has_body: ask.has_content,
            upgrade: false,
            bypass: rule.bypass,
            trusted: self.trusts(ask.sibling),
        };
        let mut selecting = Vec::new();
        let plan = self.plan(&request, rule, &ask.key, &mut selecting);
        (Rc::new(Ask { selecting: selecting.into(), ..(**ask).clone() }), plan)
    }
}
