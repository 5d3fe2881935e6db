//! Compressing what is stored as it is: for the first one who wants it in a coding, whose answer it is
//! then; and in place of what was left as it is because too much was being compressed when it came.
//! The origin is not asked for what is here already.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Method, header};
use nigh_cache::{
    directives::RequestDirectives,
    fields::Fields,
    flight::Head,
    freshness::Reuse,
    normal::Codings,
    object::{Body, Object},
    pilot::Pilot,
    run::Run,
    storable::{self, Cookies, WhyNot},
    vary::{self, Vary},
};
use nigh_edge::{plan::Meanwhile, site::Rule};

use super::{
    Ask, Service,
    carry::{Coder, Passage, Source},
    fetch::seen_by_origin,
};
use crate::{buffers, clock};

impl Service {
    /// Compresses what is stored as it is for a flight that stands on the board, so that a purge finds
    /// it there. While too much is being compressed, its readers get what is stored.
    ///
    /// # Errors
    /// The pilot, if nothing fresh is stored that could be compressed.
    pub(super) async fn compress_stored(&self, pilot: Pilot, ask: &Ask) -> Result<(), Pilot> {
        let Some(object) = self.stored_as_it_is(ask) else { return Err(pilot) };
        match self.coder_of(ask, &object) {
            Some(coder) => self.carry_stored(pilot, ask, object, coder).await,
            None => pilot.held(object),
        }
        Ok(())
    }

    /// Compresses a stored response in its own place, if the one who asks lets its like be kept.
    pub(super) async fn compress_again(&self, pilot: Pilot, ask: &Ask, object: Object) {
        if is_kept(ask, &object, &object.fields()).is_ok()
            && let Some(coder) = self.coder_of(ask, &object)
        {
            self.carry_stored(pilot, ask, object, coder).await;
        }
    }

    /// Has a response compressed that the origin has just confirmed, if it is to be.
    pub(super) fn compress_confirmed(self: &Rc<Self>, ask: &Ask) {
        let rule = ask.route.rule();
        if rule.compress.is_none() {
            return;
        }
        let stored = self.store.find(self.store.key(&ask.key), &ask.fields, &mut Vec::new());
        if let Some(object) = stored
            && self.is_to_be_compressed(rule, &ask.method, &ask.fields, &object)
        {
            self.improve(ask.clone(), object, Meanwhile::Compress);
        }
    }

    /// Whether a stored response is in the place of a compressed one, and there is room to compress it:
    /// when it came, or was made, there was none.
    pub(super) fn is_to_be_compressed(
        &self,
        rule: &Rule,
        method: &Method,
        asked: &impl Fields,
        object: &Object,
    ) -> bool {
        // First: where nothing is compressed, this is all that a hit pays.
        let Some(compress) = &rule.compress else { return false };
        let (status, fields, length) = (object.status(), object.fields(), object.length());
        is_held(object)
            && !object.terms().is_copy()
            && *method == Method::GET
            && object.vary().contains(&header::ACCEPT_ENCODING)
            && compress.coding(asked, status, &fields, length).is_some()
            && self.compressing.has_room()
    }

    /// What is stored as it is, and answers a request but for the coding that it would have.
    fn stored_as_it_is(&self, ask: &Ask) -> Option<Object> {
        let compress = ask.route.rule().compress.as_ref()?;
        let mut as_it_is = ask.fields.clone();
        let identity = HeaderValue::from_static(Codings::IDENTITY.field());
        let asked = as_it_is.insert(header::ACCEPT_ENCODING, identity.clone());
        if ask.method != Method::GET || asked == Some(identity) {
            return None;
        }
        let object = self.store.find(self.store.key(&ask.key), &as_it_is, &mut Vec::new())?;
        let directives = RequestDirectives::parse(&ask.fields);
        let is_fresh = object.terms().reuse(&directives, clock::now()) == Reuse::Fresh;
        let seen = seen_by_origin(&ask.fields);
        let coding = compress.coding(&*seen, object.status(), &object.fields(), object.length());
        (is_held(&object) && is_fresh && !object.terms().is_copy() && coding.is_some())
            .then_some(object)
    }

    /// What compresses a stored response, and the fields that it has then; `None` without room.
    fn coder_of(&self, ask: &Ask, object: &Object) -> Option<(HeaderMap, Coder)> {
        let mut fields = object.fields().to_map();
        let length = object.length()?;
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let coder = self.coder(ask, object.status(), &mut fields, Some(length))?;
        fields.insert(header::AGE, HeaderValue::from(object.terms().age(clock::now())));
        Some((fields, coder))
    }

    /// Brings a stored response to a flight, compressed.
    async fn carry_stored(
        &self,
        mut pilot: Pilot,
        ask: &Ask,
        object: Object,
        (fields, coder): (HeaderMap, Coder),
    ) {
        let rule = ask.route.rule();
        let stored = is_kept(ask, &object, &fields);
        let vary = Vary::parse(&fields);
        let mut selecting = Vec::new();
        vary::selecting(vary.names(), &ask.fields, &mut selecting);
        pilot.made_of(&object);
        pilot.head(Head {
            status: object.status(),
            fields,
            for_first: HeaderMap::new(),
            length: None,
            announced: None,
            terms: *object.terms(),
            stored,
            vary: vary.names().into(),
            selecting: selecting.into(),
            from_store: true,
            passing: false,
        });
        let passage = Passage::of(buffers::passing(None), Some(coder));
        self.carry(pilot, Source::Stored(Run::whole(object)), rule, passage).await;
    }
}

/// Whether a stored response with these fields may be kept as the answer to a request, or why not.
fn is_kept(ask: &Ask, object: &Object, fields: &impl Fields) -> Result<(), WhyNot> {
    let (status, terms) = (object.status(), object.terms());
    let directives = ask.route.rule().directives(status, fields);
    storable::judge(&ask.asked(), status, fields, &directives, terms, Cookies::default())
}

/// Whether all of a response's body is in memory.
fn is_held(object: &Object) -> bool {
    matches!(object.body(), Body::Inline(_) | Body::Blocks(_))
}
