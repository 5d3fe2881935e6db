//! What the edge knows of a URL: `/v1/explain?url=`.

use axum::{extract::State, http::Uri};
use nigh_base::Wall;
use nigh_cache::{
    key::{self, Scheme},
    object::Object,
};
use nigh_net::clock;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, Json, problem::Problem, query::Query};
use crate::{edge::Running, settings::Cluster};

/// Everything that is known of a URL.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explanation {
    url: String,
    /// Under which its answers are stored.
    key: String,
    /// Its rule has it pass the store by.
    bypass: bool,
    stored: bool,
    /// Whether there may be something on the disk that is not in memory.
    perhaps_on_disk: bool,
    variants: Vec<Variant>,
    /// Why the last answer was not kept, if that is known.
    not_stored_because: Option<&'static str>,
    /// The edges of the cluster that should serve it, the owner first; none without a cluster.
    edges: Vec<String>,
    /// How many of them are passed by now if it is in demand, because they have more than their share of
    /// the load.
    passed_by: usize,
    /// The edges of the parent that are asked in the origin's stead, likewise; none without a parent.
    parents: Vec<String>,
}

/// One stored response.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Variant {
    status: u16,
    length: Option<u64>,
    whole: bool,
    charged_bytes: u64,
    vary: Vec<String>,
    /// What it was selected by.
    selecting: String,
    freshness: Freshness,
    /// Names and values.
    #[schema(value_type = Vec<Vec<String>>)]
    fields: Vec<[String; 2]>,
}

/// How fresh it is, and where that comes from; in seconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Freshness {
    fresh: bool,
    ttl: i64,
    lifetime: u32,
    lifetime_from: &'static str,
    targeted: bool,
    age: u32,
    age_field: u32,
    apparent_age: u32,
    response_delay: u32,
    initial_age: u32,
    resident: u32,
    stale_while_revalidate: u32,
    stale_if_error: u32,
    never_stale: bool,
    no_cache: bool,
}

/// What the edge knows of a URL, as clients ask for it.
#[utoipa::path(
    get,
    path = "/v1/explain",
    params(("url" = String, Query, description = "Begins with http:// or https://.",
            pattern = "^https?://[a-z0-9.]+(:[0-9]{1,4})?(/[a-z0-9/.]*)?$",
            example = "http://www.example.com/")),
    responses(
        (status = 200, description = "What is stored, and how fresh it is.", body = Explanation),
        (status = 404, description = "No site of this edge has the host.", body = Problem,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn explain(State(running): Asked, uri: Uri) -> Result<Json<Explanation>, Problem> {
    let query = Query::parse(uri.query(), &["url"])?;
    let url = query.one("url")?;
    let url = url.ok_or_else(|| Problem::bad_request("say which: /v1/explain?url=URL"))?;
    let (bytes, bypass) = key_of(&running, url)?;
    let key = running.store.key(&bytes);
    let now = clock::now();
    let variants = running.store.variants(key);
    let members = running.control.server().members();
    let parents = running.now().settings.cluster.as_ref().and_then(Cluster::parents);
    Ok(Json(Explanation {
        url: url.to_owned(),
        key: String::from_utf8_lossy(&bytes).into_owned(),
        bypass,
        stored: !variants.is_empty(),
        perhaps_on_disk: running.store.may_lie_beneath(key),
        variants: variants.iter().map(|object| Variant::of(object, now)).collect(),
        not_stored_because: running.store.refusal(key).map(|why| why.as_str()),
        passed_by: members.as_ref().map_or(0, |it| it.passes_by(&bytes)),
        edges: members.iter().flat_map(|it| it.order(&bytes)).map(str::to_owned).collect(),
        parents: parents.iter().flat_map(|it| it.order(&bytes)).map(str::to_owned).collect(),
    }))
}

/// The key under which the answer to a URL is stored, as clients ask for it, and whether its rule
/// has it pass the store by.
pub(super) fn key_of(running: &Running, url: &str) -> Result<(Vec<u8>, bool), Problem> {
    let Parts { scheme, authority, path } = Parts::of(url)?;
    let now = running.now();
    let mut bytes = Vec::new();
    let Some(site) = now.sites.find(&authority) else {
        if !running.passes_on(scheme) {
            return Err(unknown_host(&authority));
        }
        // A forward proxy keeps it under its own URL.
        key::write(scheme, &authority, &path, &mut bytes);
        return Ok((bytes, false));
    };
    let rule = site.rules.rule(site.rules.find(&path));
    rule.write_key(scheme, &authority, &path, &mut bytes);
    Ok((bytes, rule.bypass))
}

pub(super) fn unknown_host(authority: &str) -> Problem {
    Problem::not_found(format!("no site of this edge has the host {authority}"))
}

/// The beginning of the keys of all that is stored under URLs which begin so.
pub(super) fn prefix_of(url: &str) -> Result<Vec<u8>, Problem> {
    let Parts { scheme, authority, path } = Parts::of(url)?;
    let mut bytes = Vec::new();
    key::write(scheme, &authority, &path, &mut bytes);
    Ok(bytes)
}

/// A URL as clients ask for it.
pub(super) struct Parts {
    pub(super) scheme: Scheme,
    pub(super) authority: String,
    /// With the query.
    pub(super) path: String,
}

impl Parts {
    pub(super) fn of(url: &str) -> Result<Self, Problem> {
        let bad = |what: &str| Problem::bad_request(what);
        let uri: Uri = url.parse().map_err(|_| bad("that is no URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => {
                let what = "the URL must begin with http:// or https://, as clients ask for it";
                return Err(bad(what));
            }
        };
        let authority = uri.authority().ok_or_else(|| bad("the URL names no host"))?.as_str();
        if authority.contains('@') {
            return Err(bad("the URL has a user's name, and no site's host has one"));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { scheme, authority: authority.to_owned(), path: path.to_owned() })
    }
}

impl Variant {
    fn of(object: &Object, now: Wall) -> Self {
        let sum = object.terms().explain(&object.fields(), now);
        let fields = object.fields();
        let fields = fields
            .iter()
            .map(|(name, value)| [name.to_owned(), String::from_utf8_lossy(value).into_owned()]);
        Self {
            status: object.status().as_u16(),
            length: object.length(),
            whole: object.is_whole(),
            charged_bytes: object.charged(),
            vary: object.vary().iter().map(ToString::to_string).collect(),
            selecting: String::from_utf8_lossy(object.selecting()).into_owned(),
            freshness: Freshness {
                fresh: sum.ttl > 0 && !sum.no_cache,
                ttl: sum.ttl,
                lifetime: sum.lifetime,
                lifetime_from: sum.source.as_str(),
                targeted: sum.targeted,
                age: sum.age,
                age_field: sum.age_value,
                apparent_age: sum.apparent_age,
                response_delay: sum.response_delay,
                initial_age: sum.initial_age,
                resident: sum.resident,
                stale_while_revalidate: sum.stale_while_revalidate,
                stale_if_error: sum.stale_if_error,
                never_stale: sum.never_stale,
                no_cache: sum.no_cache,
            },
            fields: fields.collect(),
        }
    }
}
