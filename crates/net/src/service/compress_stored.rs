//! The first answer in a coding, made of what is stored as it is: the origin is not asked for what is
//! here already.

use http::{HeaderMap, HeaderValue, Method, header};
use nigh_cache::{
    directives::RequestDirectives,
    flight::Head,
    freshness::Reuse,
    normal::Codings,
    object::Object,
    pilot::Pilot,
    run::Run,
    storable::{self, Cookies},
    vary::{self, Vary},
};

use super::{
    Ask, Service,
    carry::{Coder, Passage, Source},
};
use crate::{buffers, clock};

impl Service {
    /// Compresses what is stored as it is for a flight that stands on the board, so that a purge finds
    /// it there.
    ///
    /// # Errors
    /// The pilot, if nothing fresh is stored that could be compressed.
    pub(super) async fn compress_stored(&self, mut pilot: Pilot, ask: &Ask) -> Result<(), Pilot> {
        let Some((object, fields, coder)) = self.compressible(ask) else { return Err(pilot) };
        let (status, terms) = (object.status(), *object.terms());
        let directives = ask.route.rule().directives(status, &fields);
        let cookies = Cookies::default();
        let stored = storable::judge(&ask.asked(), status, &fields, &directives, &terms, cookies);
        let vary = Vary::parse(&fields);
        let mut selecting = Vec::new();
        vary::selecting(vary.names(), &ask.fields, &mut selecting);
        pilot.made_of(&object);
        pilot.head(Head {
            status,
            fields,
            for_first: HeaderMap::new(),
            length: None,
            announced: None,
            terms,
            stored,
            vary: vary.names().into(),
            selecting: selecting.into(),
            from_store: true,
        });
        let passage = Passage::of(buffers::passing(None));
        self.carry(pilot, Source::Stored(Run::whole(object)), Some(coder), passage).await;
        Ok(())
    }

    /// What is stored as it is and answers a request but for its coding, with the fields that it has
    /// in that coding.
    fn compressible(&self, ask: &Ask) -> Option<(Object, HeaderMap, Coder)> {
        ask.route.rule().compress.as_ref()?;
        let mut as_it_is = ask.fields.clone();
        let identity = HeaderValue::from_static(Codings::IDENTITY.field());
        let asked = as_it_is.insert(header::ACCEPT_ENCODING, identity.clone());
        if ask.method != Method::GET || asked == Some(identity) {
            return None;
        }
        let key = self.store.key(&ask.key);
        let object = self.store.find(key, &as_it_is, &mut Vec::new())?;
        let (now, directives) = (clock::now(), RequestDirectives::parse(&ask.fields));
        let length = object.length().filter(|_| object.is_whole() && object.sliced().is_none())?;
        if object.terms().reuse(&directives, now) != Reuse::Fresh {
            return None;
        }
        let mut fields = object.fields().to_map();
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let coder = self.coder(ask, object.status(), &mut fields, Some(length))?;
        fields.insert(header::AGE, HeaderValue::from(object.terms().age(now)));
        Some((object, fields, coder))
    }
}
