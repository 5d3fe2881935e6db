//! The description and the router agree; what is answered where control state does not answer.

mod unanswered;

use super::*;

#[test]
fn every_path_is_described_and_every_description_has_a_path() {
    let source = include_str!("../admin.rs");
    let routed = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut routed: Vec<String> = routed.map(str::to_owned).collect();
    let mut described = openapi::paths();
    routed.sort();
    described.sort();
    assert_eq!(routed, described);
}
