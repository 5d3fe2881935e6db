//! Tests whose judges are foreign programs. What is missing is named, never skipped.
//!
//! Beside the conformance suite these are the files of `tests/foreign`: `*.vtc` for varnishtest,
//! with the macro `${nigh}`, and `*.sh` for bash, with `NIGH` in the environment; both say where
//! the binary is. `LOAD` says where scripts find nigh-load, and `MAINLINE` the node of the crate mainline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::command::{self, Failure};
use crate::conformance;
use crate::workspace::{Workspace, cargo};

/// A foreign program, arguments that show it is there, and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    name: &'static str,
    probe: &'static [&'static str],
    package: &'static str,
}

pub(crate) const NODE: Program = Program { name: "node", probe: &["--version"], package: "nodejs" };
pub(crate) const PIP: Program =
    Program { name: "python3", probe: &["-m", "pip", "--version"], package: "python3-pip" };
pub(crate) const NPM: Program = Program { name: "npm", probe: &["--version"], package: "npm" };
const ARIA2: Program = Program { name: "aria2c", probe: &["--version"], package: "aria2" };
/// What rust links with, and cluster-chaos.sh builds a clock with.
const CC: Program = Program { name: "cc", probe: &["--version"], package: "gcc" };
const CURL: Program = Program { name: "curl", probe: &["--version"], package: "curl" };
const ETCD: Program = Program { name: "etcd", probe: &["--version"], package: "etcd-server" };
const ETCDCTL: Program = Program { name: "etcdctl", probe: &["version"], package: "etcd-client" };
/// It has no way to ask for its version; without arguments it says how to use it.
const HTPASSWD: Program = Program { name: "htpasswd", probe: &[], package: "apache2-utils" };
const IP: Program = Program { name: "ip", probe: &["-V"], package: "iproute2" };
const NFT: Program = Program { name: "nft", probe: &["--version"], package: "nftables" };
const H2LOAD: Program =
    Program { name: "h2load", probe: &["--version"], package: "nghttp2-client" };
const NGHTTP: Program =
    Program { name: "nghttp", probe: &["--version"], package: "nghttp2-client" };
const OPENSSL: Program = Program { name: "openssl", probe: &["version"], package: "openssl" };
const SYSTEMD_ANALYZE: Program =
    Program { name: "systemd-analyze", probe: &["--version"], package: "systemd" };
const SYSTEMD_NSPAWN: Program =
    Program { name: "systemd-nspawn", probe: &["--version"], package: "systemd-container" };
/// What the client of etcd is built with.
const PROTOC: Program =
    Program { name: "protoc", probe: &["--version"], package: "protobuf-compiler" };
/// The descriptions that come with it: Debian has them apart.
const PROTOC_INCLUDES: Program = Program {
    name: "protoc",
    probe: &["--descriptor_set_out=/dev/null", "google/protobuf/descriptor.proto"],
    package: "libprotobuf-dev",
};
const PYTHON: Program = Program { name: "python3", probe: &["--version"], package: "python3" };
/// Debian has it for its own Python alone.
const LIBTORRENT: Program = Program {
    name: "/usr/bin/python3",
    probe: &["-c", "import libtorrent"],
    package: "python3-libtorrent",
};
const TRANSMISSION: Program =
    Program { name: "transmission-daemon", probe: &["--version"], package: "transmission-daemon" };
const UNSHARE: Program = Program { name: "unshare", probe: &["--version"], package: "util-linux" };
/// What nigh with all its features is built with.
pub(crate) const TO_BUILD: [Program; 2] = [PROTOC, PROTOC_INCLUDES];
/// What makes a Python environment: Debian has it apart.
const VENV: Program =
    Program { name: "python3", probe: &["-c", "import ensurepip"], package: "python3-venv" };
/// wrk prints its version beside its usage, and ends with a status of failure.
const WRK: Program = Program { name: "wrk", probe: &[], package: "wrk" };
/// varnishtest has no way to ask for its version; its options end with a status of failure.
const VARNISHTEST: Program = Program { name: "varnishtest", probe: &[], package: "varnish" };

/// The tests of the engine that only a feature builds.
const ETCD_TESTS: [&str; 8] =
    ["test", "--locked", "--package", "nigh-net", "--features", "etcd", "--lib", "--no-run"];

/// A script that takes more seconds has failed.
const SCRIPT_LIMIT: &str = "300";
/// The same for a test case of varnishtest.
const CASE_LIMIT: &str = "60";
/// The script that runs beside others.
const BESIDE: &str = "dht.sh";
/// The same for that one: other programs ask each other when their timers say.
const BESIDE_LIMIT: &str = "900";

/// Runs them all; the first failure does not keep the others from running.
pub(crate) fn run() -> Result<(), Failure> {
    need(&[
        NODE,
        NPM,
        ARIA2,
        CC,
        CURL,
        ETCD,
        ETCDCTL,
        H2LOAD,
        HTPASSWD,
        IP,
        LIBTORRENT,
        NFT,
        NGHTTP,
        OPENSSL,
        PYTHON,
        SYSTEMD_ANALYZE,
        SYSTEMD_NSPAWN,
        TRANSMISSION,
        UNSHARE,
        VENV,
        VARNISHTEST,
        WRK,
    ])?;
    need(&TO_BUILD)?;
    let workspace = Workspace::read()?;
    let built = workspace.build()?;
    let (nigh, load) = (built.join("nigh"), built.join("nigh-load"));
    // Before the scripts, whose time is limited: etcd.sh runs these.
    command::run(cargo().args(ETCD_TESTS))?;
    let folder = workspace.root.join("tests/foreign");
    // A workspace of its own, with its own lock file: Debian has no package of it.
    let target = workspace.target.join("foreign-mainline");
    let manifest = folder.join("mainline/Cargo.toml");
    let mut build = cargo();
    build.args(["build", "--locked", "--manifest-path"]).arg(&manifest);
    command::run(build.arg("--target-dir").arg(&target))?;
    let mainline = target.join("debug/nigh-foreign-mainline");

    let mut passed = 0;
    let mut failed = Vec::new();
    let mut judge = |name: String, outcome: Result<(), Failure>| match outcome {
        Ok(()) => {
            println!("passed: {name}");
            passed += 1;
        }
        Err(failure) => {
            println!("FAILED: {name}: {failure}");
            failed.push(name);
        }
    };
    let of_script = |script: &Path, limit: &str| {
        let mut command = Command::new("timeout");
        command.args([limit, "bash"]).arg(script).current_dir(&folder);
        command.env("NIGH", &nigh).env("LOAD", &load).env("MAINLINE", &mainline);
        command
    };
    // It waits for the timers of other programs and hardly needs the processor: beside all the others, and
    // what it says comes when they are done.
    let beside = folder.join(BESIDE);
    let mut waiting = of_script(&beside, BESIDE_LIMIT);
    let waiting = thread::spawn(move || waiting.output());
    judge("conformance".to_owned(), conformance::run(&[]));
    for case in files_of(&folder, "vtc")? {
        let outcome = command::run(
            Command::new("varnishtest")
                .arg("-D")
                .arg(format!("nigh={}", nigh.display()))
                .args(["-t", CASE_LIMIT])
                .arg(&case),
        );
        judge(name_of(&case), outcome);
    }
    for script in files_of(&folder, "sh")?.iter().filter(|it| **it != beside) {
        judge(name_of(script), command::run(&mut of_script(script, SCRIPT_LIMIT)));
    }
    let waited = waiting.join().expect("it only runs a script");
    let waited =
        waited.map_err(|error| Failure::Found(format!("{BESIDE} does not run: {error}")))?;
    println!("{}", String::from_utf8_lossy(&waited.stdout));
    eprintln!("{}", String::from_utf8_lossy(&waited.stderr));
    let ended = format!("it ended with {}", waited.status);
    judge(BESIDE.to_owned(), waited.status.success().then_some(()).ok_or(Failure::Found(ended)));

    println!("\nforeign: {passed} passed, {} failed", failed.len());
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Found(format!("foreign programs disagree: {}", failed.join(", "))))
    }
}

/// Fails with the command that installs whatever of `programs` is missing.
pub(crate) fn need(programs: &[Program]) -> Result<(), Failure> {
    let missing: Vec<&Program> = programs.iter().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    packages.dedup();
    Err(Failure::Found(format!(
        "missing: {}; on Debian: apt-get install --no-install-recommends {}",
        names.join(", "),
        packages.join(" ")
    )))
}

fn is_there(program: &Program) -> bool {
    if program.probe.is_empty() {
        // Without arguments it prints how to use it; that it starts is enough.
        return Command::new(program.name).output().is_ok();
    }
    command::answers(program.name, program.probe)
}

/// The files of `folder` that end with `extension`, in order; none when there is no such folder.
fn files_of(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let cannot = |error| Failure::Found(format!("cannot read {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
