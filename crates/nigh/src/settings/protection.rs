//! What a site or a path lets in, and what is done to fields: the keys that `[[site]]` and
//! `[[site.path]]` have in common, and `signed`.

use std::{path::Path, str::FromStr, sync::Arc};

use http::{HeaderName, HeaderValue};
use nigh_edge::{
    forward,
    network::Network,
    site::{
        Admission, FieldRules, Guard, Methods, NETWORKS_MAX, RESERVED,
        signed::{self, Key},
    },
};

use super::{
    Secret,
    document::Section,
    file::{beside, name},
};

/// Fields that one list may name: each request or response is held against them one by one.
const FIELDS_MAX: usize = 100;

/// What was said of a site, or of a path beside it.
#[derive(Clone, Debug, Default)]
pub(super) struct Protection {
    admission: Admission,
    methods: Option<Methods>,
    refused_fields: Box<[HeaderName]>,
    fields: FieldRules,
}

/// The keys of signed URLs, where they lie.
pub(crate) type SigningKeys = Vec<(String, Secret)>;

/// Reads the keys that a site and a path have in common.
pub(super) fn read(section: &mut Section<'_>) -> Protection {
    let admission =
        Admission { allow: networks(section, "allow"), deny: networks(section, "deny") };
    let methods = section.list("methods", Methods::of);
    if methods.as_ref().is_some_and(Vec::is_empty) {
        section.mistake("methods", "nobody could ask for anything: write methods = [\"GET\"]");
    }
    let methods =
        methods.map(|list| list.into_iter().fold(Methods::default(), |all, one| all.and(one)));
    let refused_fields = fields(section, "refuse_fields");
    let request_remove = fields(section, "remove_request_fields");
    let response_remove = fields(section, "remove_response_fields");
    let response_set = section.list("set_response_fields", set_field).unwrap_or_default().into();
    let tags = section.has("tag_fields").then(|| fields(section, "tag_fields"));
    let fields = FieldRules { request_remove, response_remove, response_set, tags };
    Protection { admission, methods, refused_fields, fields }
}

/// Reads `signed`.
pub(super) fn signed(section: &mut Section<'_>, folder: &Path) -> Option<SigningKeys> {
    if !section.has("signed") {
        return None;
    }
    let example = "[{ id = \"k1\", file = \"url.key\" }]";
    let keys: Vec<_> = section.sections("signed", "a signing key", example);
    if keys.len() > signed::KEYS_MAX {
        let message = format!("a rule has at most {} signing keys", signed::KEYS_MAX);
        section.mistake("signed", message);
    }
    let mut found: SigningKeys = Vec::new();
    for mut key in keys {
        let id = key.parsed("id", |text| Key::check_id(text).map(|()| text.to_owned()));
        let file = key.parsed("file", beside(folder)).map(Secret::File);
        let variable = key.parsed("env", name).map(Secret::Environment);
        if !key.has("id") || key.has("file") == key.has("env") {
            key.mistake(
                "",
                format!("a signing key has an id, and a file or a variable: {example}"),
            );
        }
        if let (Some(id), Some(secret)) = (id, file.or(variable)) {
            if found.iter().any(|(held, _)| *held == id) {
                key.mistake("id", format!("there are two keys `{id}`"));
            }
            found.push((id, secret));
        }
        key.finish();
    }
    Some(found)
}

impl Protection {
    /// What holds for a path of a site of which `self` was said, and of the path `own`: the lists of
    /// both hold, the path's methods and tags take the place of the site's, and fields add up.
    pub(super) fn with(&self, own: Self) -> Self {
        let join = |one: &[HeaderName], other: &[HeaderName]| [one, other].concat().into();
        let fields = FieldRules {
            request_remove: join(&self.fields.request_remove, &own.fields.request_remove),
            response_remove: join(&self.fields.response_remove, &own.fields.response_remove),
            response_set: [&self.fields.response_set[..], &own.fields.response_set].concat().into(),
            tags: own.fields.tags.or_else(|| self.fields.tags.clone()),
        };
        Self {
            admission: own.admission,
            methods: own.methods.or(self.methods),
            refused_fields: join(&self.refused_fields, &own.refused_fields),
            fields,
        }
    }

    /// The guard of a path, with the site's own lists before the path's.
    pub(super) fn guard(&self, site: Option<&Self>, is_signed: bool) -> Option<Arc<Guard>> {
        let lists = site.into_iter().chain([self]).map(|held| &held.admission);
        let guard = Guard {
            admissions: lists.filter(|lists| !lists.is_empty()).cloned().collect(),
            methods: self.methods,
            refused_fields: self.refused_fields.clone(),
            // They are read when the edge starts; until then, nobody is let in.
            keys: is_signed.then(Box::default),
            unclear: false,
        };
        (!guard.is_open()).then(|| Arc::new(guard))
    }

    /// What is done to fields, if anything.
    pub(super) fn fields(&self) -> Option<Arc<FieldRules>> {
        (self.fields != FieldRules::default()).then(|| Arc::new(self.fields.clone()))
    }
}

fn networks(section: &mut Section<'_>, key: &'static str) -> Box<[Network]> {
    let networks = section.list(key, Network::from_str).unwrap_or_default();
    if networks.len() > NETWORKS_MAX {
        section.mistake(key, format!("`{key}` lists at most {NETWORKS_MAX} networks"));
    }
    networks.into()
}

fn fields(section: &mut Section<'_>, key: &'static str) -> Box<[HeaderName]> {
    let fields = section.list(key, field).unwrap_or_default();
    if fields.len() > FIELDS_MAX {
        section.mistake(key, format!("`{key}` lists at most {FIELDS_MAX} fields"));
    }
    fields.into()
}

fn field(text: &str) -> Result<HeaderName, String> {
    let field = HeaderName::from_str(text)
        .map_err(|_| format!("`{text}` is no name of a field, such as X-Powered-By"))?;
    match RESERVED.iter().any(|held| forward::is_same_name(held, field.as_str())) {
        true => Err(format!("`{text}` belongs to HTTP or to this edge: no rule is about it")),
        false => Ok(field),
    }
}

fn set_field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` sets nothing: write \"X-Frame-Options: DENY\""))?;
    let value = HeaderValue::from_str(value.trim())
        .map_err(|_| format!("`{text}` has a value that is none"))?;
    Ok((field(name.trim())?, value))
}
