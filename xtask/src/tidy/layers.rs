//! Who may use whom: `[workspace.metadata.layers]` and `[workspace.metadata.cores]` of the root
//! manifest, against what the manifests say and against all that cargo would link.

use crate::command::{self, Failure};
use crate::json::Json;
use crate::workspace::{Workspace, cargo, layer_of};

use super::Finding;

const ROOT: &str = "Cargo.toml";

pub(super) fn check(workspace: &Workspace, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    layers(workspace, findings);
    let cores = workspace.metadata.member("cores");
    let barred: Vec<&str> = cores.member("barred").items().iter().filter_map(Json::text).collect();
    for core in cores.member("crates").items().iter().filter_map(Json::text) {
        let Some(package) = workspace.packages.iter().find(|package| package.layer() == core)
        else {
            let message = format!(
                "[workspace.metadata.cores] names {core}, which is no crate: take it out of the table"
            );
            findings.push(Finding::new(ROOT, 1, message));
            continue;
        };
        let tree = command::read(cargo().args([
            "tree",
            "--locked",
            "--package",
            &package.name,
            "--edges",
            "normal",
            "--prefix",
            "depth",
            "--format",
            " {p}",
        ]))?;
        for road in roads_to(&barred, &tree) {
            let message = format!(
                "{core} does no I/O but reaches {}: turn the feature off that brings it, or move what needs it to net",
                road.join(" -> ")
            );
            findings.push(Finding::new(&package.manifest, 1, message));
        }
    }
    Ok(())
}

fn layers(workspace: &Workspace, findings: &mut Vec<Finding>) {
    let table = workspace.metadata.member("layers");
    for package in &workspace.packages {
        let name = package.layer();
        let Json::List(allowed) = table.member(name) else {
            let message = format!(
                "{name} is not in [workspace.metadata.layers] of the root manifest: say there what it may use"
            );
            findings.push(Finding::new(&package.manifest, 1, message));
            continue;
        };
        for used in package.uses.iter().map(|used| layer_of(used)) {
            if !allowed.iter().any(|layer| layer.text() == Some(used)) {
                let message = format!(
                    "{name} uses {used}, which the layer table does not allow: pass what it needs as an argument, or argue for a change of [workspace.metadata.layers] and ARCHITECTURE.md"
                );
                findings.push(Finding::new(&package.manifest, 1, message));
            }
        }
    }
    for (name, _) in table.members() {
        if !workspace.packages.iter().any(|package| package.layer() == name) {
            let message = format!(
                "[workspace.metadata.layers] names {name}, which is no crate: take it out of the table"
            );
            findings.push(Finding::new(ROOT, 1, message));
        }
    }
}

/// How the root of `tree` comes to each of the `barred` packages, once each; what these bring with
/// them is not told.
///
/// A line of `tree` is the depth, a space, the package's name and its version.
fn roads_to(barred: &[&str], tree: &str) -> Vec<Vec<String>> {
    let mut road: Vec<String> = Vec::new();
    let mut roads: Vec<Vec<String>> = Vec::new();
    for line in tree.lines() {
        let mut words = line.split(' ');
        let depth = words.next().and_then(|depth| depth.parse::<usize>().ok());
        let (Some(depth), Some(name)) = (depth, words.next()) else { continue };
        road.truncate(depth);
        let is_brought = road.iter().any(|package| barred.contains(&package.as_str()));
        road.push(name.to_owned());
        let is_known = roads.iter().any(|known| known.last().is_some_and(|last| last == name));
        if barred.contains(&name) && !is_brought && !is_known {
            roads.push(road.clone());
        }
    }
    roads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Package;
    use std::path::PathBuf;

    fn package(name: &str, uses: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            manifest: format!("crates/{}/Cargo.toml", layer_of(name)),
            uses: uses.iter().map(|&used| used.to_owned()).collect(),
            dependencies: Vec::new(),
            unnamed: Vec::new(),
        }
    }

    #[test]
    fn a_crate_may_use_what_its_line_of_the_table_names() {
        let metadata = r#"{"layers": {"base": [], "cache": ["base"], "gone": []}}"#;
        let workspace = Workspace {
            root: PathBuf::new(),
            target: PathBuf::new(),
            metadata: Json::read(metadata).expect("it is JSON"),
            packages: vec![
                package("nigh-base", &["nigh-cache"]),
                package("nigh-cache", &["nigh-base"]),
                package("nigh-new", &[]),
            ],
        };
        let mut findings = Vec::new();
        layers(&workspace, &mut findings);
        let messages: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        assert!(messages[0].starts_with("crates/base/Cargo.toml:1: base uses cache"));
        assert!(messages[1].starts_with("crates/new/Cargo.toml:1: new is not in"));
        assert!(messages[2].contains("names gone"));
    }

    #[test]
    fn the_road_to_a_barred_package_is_told_once() {
        let tree = "0 nigh-edge v0.1.0 (/x)\n1 http v1.5.0\n2 bytes v1.0.0\n1 hyper v1.0.0\n\
                    2 tokio v1.0.0\n3 mio v1.0.0\n1 tokio v1.0.0 (*)\n";
        assert_eq!(roads_to(&["tokio", "mio"], tree), [["nigh-edge", "hyper", "tokio"]]);
    }
}
