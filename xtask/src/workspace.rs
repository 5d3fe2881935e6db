//! What the manifests say: where the workspace is, its crates, its tables for the chores.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, Failure};
use crate::json::Json;

/// The workspace as `cargo metadata --no-deps` shows it, which needs no network.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where builds go.
    pub(crate) target: PathBuf,
    /// `[workspace.metadata]` of the root manifest.
    pub(crate) metadata: Json,
    /// The members.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its name in its manifest.
    pub(crate) name: String,
    /// Its manifest, as a path from the root.
    pub(crate) manifest: String,
    /// Other members that it depends on when it is built, by the names in their manifests.
    pub(crate) uses: Vec<String>,
    /// Every dependency of any kind, by the name in its manifest and the one that code uses.
    pub(crate) dependencies: Vec<(String, String)>,
    /// Dependencies that code need not name: `[package.metadata.tidy] unnamed`.
    pub(crate) unnamed: Vec<String>,
}

impl Package {
    /// The name in the layer table: `nigh-cache` is `cache`.
    pub(crate) fn layer(&self) -> &str {
        layer_of(&self.name)
    }
}

/// The name in the layer table of the package `name`.
pub(crate) fn layer_of(name: &str) -> &str {
    name.strip_prefix("nigh-").unwrap_or(name)
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self, Failure> {
        let text = command::read(cargo().args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ]))?;
        let metadata = Json::read(&text)
            .map_err(|error| Failure::Found(format!("cargo metadata printed bad {error}")))?;
        Self::from_metadata(&metadata).ok_or_else(|| {
            Failure::Found("cargo metadata lacks a field that it used to have".into())
        })
    }

    fn from_metadata(metadata: &Json) -> Option<Self> {
        let root = PathBuf::from(metadata.member("workspace_root").text()?);
        let mut packages = Vec::new();
        for package in metadata.member("packages").items() {
            let manifest = Path::new(package.member("manifest_path").text()?);
            let mut uses = Vec::new();
            let mut dependencies = Vec::new();
            for dependency in package.member("dependencies").items() {
                let name = dependency.member("name").text()?.to_owned();
                let in_code = dependency.member("rename").text().unwrap_or(&name).replace('-', "_");
                dependencies.push((name, in_code));
                // Only normal dependencies have no kind; those by path are members.
                if dependency.member("kind") == &Json::Null
                    && dependency.member("path").text().is_some()
                {
                    uses.push(dependency.member("name").text()?.to_owned());
                }
            }
            packages.push(Package {
                name: package.member("name").text()?.to_owned(),
                manifest: manifest.strip_prefix(&root).ok()?.to_string_lossy().into_owned(),
                uses,
                dependencies,
                unnamed: texts(package.member("metadata").member("tidy").member("unnamed")),
            });
        }
        Some(Self {
            target: PathBuf::from(metadata.member("target_directory").text()?),
            metadata: metadata.member("metadata").clone(),
            root,
            packages,
        })
    }

    /// Builds what foreign programs judge, and returns the folder: `nigh` with all that it can have (which
    /// wants protoc) and with all checks on, as in our own tests, and `nigh-load`, which scripts put on it.
    pub(crate) fn build(&self) -> Result<PathBuf, Failure> {
        let packages = ["--package", "nigh", "--package", "nigh-load", "--features", "nigh/etcd"];
        command::run(cargo().args(["build", "--locked"]).args(packages))?;
        Ok(self.target.join("debug"))
    }
}

/// The texts in a list.
pub(crate) fn texts(list: &Json) -> Vec<String> {
    list.items().iter().filter_map(Json::text).map(str::to_owned).collect()
}

/// The cargo that runs this chore, in whatever folder that is.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_dependencies_within_the_workspace_count() {
        let metadata = Json::read(
            r#"{"workspace_root": "/r", "target_directory": "/r/target", "metadata": {"x": 1},
                "packages": [{"name": "nigh-edge", "manifest_path": "/r/crates/edge/Cargo.toml",
                "dependencies": [{"name": "nigh-base", "kind": null, "path": "/r/crates/base"},
                    {"name": "nigh-sim", "kind": "dev", "path": "/r/crates/sim"},
                    {"name": "http", "kind": null}]}]}"#,
        )
        .expect("it is JSON");
        let workspace = Workspace::from_metadata(&metadata).expect("nothing is missing");
        let package = &workspace.packages[0];
        assert_eq!(package.layer(), "edge");
        assert_eq!(package.manifest, "crates/edge/Cargo.toml");
        assert_eq!(package.uses, ["nigh-base"]);
        assert_eq!(package.dependencies[1], ("nigh-sim".to_owned(), "nigh_sim".to_owned()));
    }
}
