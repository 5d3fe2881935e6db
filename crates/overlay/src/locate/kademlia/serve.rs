//! Answers to others' questions.

use nigh_base::{Address, Key, machine::Context};

use super::{
    Family, Node,
    ask::For,
    fit::fit,
    host::Host,
    krpc::{Body, Error, Method, Query, Response, Transaction, Want, code},
    values::{Taken, Version},
};
use crate::locate::{Contact, VALUE_MAX};

/// Why there is no answer: for the asker's program, and for people.
type Refusal = (i64, &'static str);

const TOKEN_WRONG: Refusal = (code::PROTOCOL, "the token is wrong or too old: ask for another");

impl Response {
    /// An answer with nothing but who answers.
    pub const fn of(id: Key) -> Self {
        Self {
            id,
            seen_at: None,
            nodes: None,
            nodes6: None,
            token: None,
            peers: None,
            filters: None,
            item: None,
            number: None,
            samples: None,
            value: None,
        }
    }
}

impl Node {
    /// A question has come. Who only asks does not answer (BEP 43), and whoever asks too much has none.
    pub(super) fn serve(
        &mut self,
        from: Address,
        transaction: Transaction,
        query: Query,
        cx: &mut Context<'_, Self>,
    ) {
        if self.is_read_only() || !self.limits.allow(from, cx.now, cx.secrets) {
            return;
        }
        let asker = Contact { key: query.id, address: from };
        let is_read_only = query.read_only;
        let body = match self.answer(from, query, cx) {
            Ok(response) => Body::Response(Box::new(Response { seen_at: Some(from), ..response })),
            Err((code, text)) => {
                Body::Error(Error { code, text: text.as_bytes().into(), seen_at: Some(from) })
            }
        };
        let mut answer = Self::message(transaction, body);
        fit(&mut answer);
        cx.send(from, answer);
        if !is_read_only {
            self.meet(asker, cx);
        }
    }

    /// A question has come that cannot be read.
    pub(super) fn serve_mistaken(
        &mut self,
        from: Address,
        transaction: Transaction,
        error: Error,
        cx: &mut Context<'_, Self>,
    ) {
        if !self.is_read_only() && self.limits.allow(from, cx.now, cx.secrets) {
            let error = Error { seen_at: Some(from), ..error };
            cx.send(from, Self::message(transaction, Body::Error(error)));
        }
    }

    fn answer(
        &mut self,
        from: Address,
        query: Query,
        cx: &mut Context<'_, Self>,
    ) -> Result<Response, Refusal> {
        let (now, want) = (cx.now, query.want);
        let bare = Response::of(self.me.key);
        Ok(match query.method {
            Method::Ping => bare,
            Method::FindNode { target } => self.nodes(target, want, from, bare),
            Method::GetPeers { info_hash, without_seeds, scrape } => {
                let token = Some(self.tokens.give(from, now, cx.secrets));
                let v6 = Family::of(from) == Family::V6;
                let peers = self.swarms.some(info_hash, v6, without_seeds, now, cx.rng);
                let filters = scrape.then(|| self.swarms.filters(info_hash, now)).flatten();
                let response = Response { token, peers, filters, ..bare };
                self.nodes(info_hash, want, from, response)
            }
            Method::AnnouncePeer { info_hash, port, seed, token } => {
                if !self.tokens.are_right(&token, from, now, cx.secrets) {
                    return Err(TOKEN_WRONG);
                }
                let address = port.map_or(from, |port| from.with_port(port));
                if !address.is_of_one() {
                    return Err((code::PROTOCOL, "nobody is reached on that port"));
                }
                self.swarms.announced(info_hash, address, seed, now, cx.rng);
                bare
            }
            Method::Get { target, newer_than } => {
                let token = Some(self.tokens.give(from, now, cx.secrets));
                let mut response = Response { token, ..bare };
                if let Some(item) = self.items.get(target, now) {
                    let number = item.signed.as_ref().map(|it| it.number);
                    let is_newer = number.is_none() || number > newer_than;
                    response.number = number.filter(|_| !is_newer);
                    response.item = is_newer.then(|| item.clone());
                }
                self.nodes(target, want, from, response)
            }
            Method::Put { item, cas, token } => {
                if !self.tokens.are_right(&token, from, now, cx.secrets) {
                    return Err(TOKEN_WRONG);
                }
                let put = self.items.put(*item, cas, Host::of(from), now);
                put.map_err(|code| (code, why(code)))?;
                bare
            }
            Method::SampleInfohashes { target } => {
                let samples = Some(self.swarms.samples(cx.rng));
                self.nodes(target, want, from, Response { samples, ..bare })
            }
            Method::Fetch { target } => {
                let token = Some(self.tokens.give(from, now, cx.secrets));
                let held = self.values.get(target, now);
                let (value, number) = held.map(|it| (it.value, it.number)).unzip();
                self.nodes(target, want, from, Response { token, value, number, ..bare })
            }
            Method::Store { target, value, number, lifetime, token } => {
                if !self.tokens.are_right(&token, from, now, cx.secrets) {
                    return Err(TOKEN_WRONG);
                }
                let lifetime = std::time::Duration::from_secs(lifetime.into());
                self.store(target, Version { value, number, lifetime }, Host::of(from), cx)?;
                bare
            }
            Method::Other { target: Some(target) } => self.nodes(target, want, from, bare),
            Method::Other { target: None } => {
                return Err((code::METHOD_UNKNOWN, "there is no such question"));
            }
        })
    }

    /// Takes a value in that a host has brought.
    fn store(
        &mut self,
        key: Key,
        version: Version,
        by: Host,
        cx: &mut Context<'_, Self>,
    ) -> Result<(), Refusal> {
        if version.value.len() > VALUE_MAX {
            return Err((code::VALUE_TOO_LONG, why(code::VALUE_TOO_LONG)));
        }
        if self.handing.is_leaving() {
            return Err((code::SERVER, "this node is leaving"));
        }
        let again = self.again(cx);
        match self.values.store(key, version, by, again, cx.now) {
            Taken::Held => Ok(()),
            Taken::Outdated => Err((code::NUMBER_TOO_LOW, why(code::NUMBER_TOO_LOW))),
            Taken::Refused => Err((code::SERVER, why(code::SERVER))),
        }
    }

    /// The answer with the nodes nearest to `target`, of the families that are wanted: without a word
    /// those of the asker's (BEP 32).
    fn nodes(&self, target: Key, want: Option<Want>, from: Address, answer: Response) -> Response {
        let v6 = Family::of(from) == Family::V6;
        let want = want.filter(|it| it.v4 || it.v6).unwrap_or(Want { v4: !v6, v6 });
        let of = |family| self.table(family).nearest(target, self.settings.bucket).into_vec();
        Response {
            nodes: want.v4.then(|| of(Family::V4)),
            nodes6: want.v6.then(|| of(Family::V6)),
            ..answer
        }
    }

    /// Somebody has asked something: if there is a place for it, or it was taken for gone, it is asked
    /// whether it is there, since the sender of a question may be forged.
    fn meet(&mut self, asker: Contact, cx: &mut Context<'_, Self>) {
        let is_spoken = self.families().any(|it| it == Family::of(asker.address));
        if !is_spoken || asker.key == self.me.key {
            return;
        }
        let now = cx.now;
        let table = self.table_mut(Family::of(asker.address));
        let is_met = match table.get(asker) {
            Some(known) => {
                let is_missing = known.is_missing();
                table.asked(asker, now);
                is_missing
            }
            None => table.has_place(asker),
        };
        if is_met {
            self.verify(asker, For::Meet, cx);
        }
    }
}

const fn why(refusal: i64) -> &'static str {
    match refusal {
        code::CAS_MISMATCH => "the item has another number than cas says",
        code::NUMBER_TOO_LOW => "what is held has a higher number, or this one and another value",
        code::SERVER => "there is no room for more",
        code::SIGNATURE_WRONG => "the signature does not hold",
        code::VALUE_TOO_LONG => "the value is too long",
        _ => "it cannot be done",
    }
}
