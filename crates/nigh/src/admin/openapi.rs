//! The API's own description: `/v1/openapi.json`, in OpenAPI 3.1.

use axum::extract::State;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, OpenApi as Document, Ref, RefOr, ResponseBuilder,
        path::{Operation, PathItem},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    Asked, Json, config, drain, drains, events, explain, metrics, objects, prefetch, problem,
    purge, settings, status,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "nigh: an edge's admin API",
        description = "What a running edge is asked and told by those who run it. Errors are \
                       problem details (RFC 9457)."
    ),
    paths(
        drain::health,
        metrics::metrics,
        document,
        status::status,
        status::sites,
        objects::objects,
        explain::explain,
        config::config,
        config::put,
        config::diff,
        settings::settings,
        settings::put,
        purge::purge,
        prefetch::prefetch,
        drain::drain,
        drains::list,
        drains::put,
        drains::delete,
        events::events,
    ),
    components(schemas(events::Event, problem::Problem)),
    modifiers(&Everywhere)
)]
struct Described;

/// Every operation may fail, in ways that all have in common.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut Document) {
        let problem = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(problem)).build();
        for operation in operations(document) {
            let response = ResponseBuilder::new()
                .description("Anything else: what was wrong, and what to do.")
                .content(nigh_edge::problem::CONTENT_TYPE, content.clone())
                .build();
            operation.responses.responses.insert("default".to_owned(), RefOr::T(response));
        }
    }
}

fn operations(document: &mut Document) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|PathItem { get, put, post, delete, .. }| {
        [get.as_mut(), put.as_mut(), post.as_mut(), delete.as_mut()].into_iter().flatten()
    })
}

/// This description.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object))
)]
pub(super) async fn document(State(running): Asked) -> Json<Document> {
    let mut document = Described::openapi();
    if running.control.token().is_some() {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", bearer);
        let needed = SecurityRequirement::new("token", Vec::<String>::new());
        document.security = Some(vec![needed]);
    }
    Json(document)
}

/// Every path that there is.
pub(super) fn paths() -> Vec<String> {
    Described::openapi().paths.paths.keys().cloned().collect()
}
