//! Settings files from outside: `nigh check`.

use crate::support::{SettingsFile, process::nigh};

const WRONG: &str = "\
[cache]
memmory = \"1GiB\"
[[site]]
host = \"www.example.com\"
origin = \"ftp://origin.example.com\"
";

#[test]
fn a_file_in_order_is_said_to_be() {
    let file = SettingsFile::with("[[site]]\nhost = \"*\"\norigin = \"http://origin.example\"\n");
    let ran = nigh(&["check", file.argument()]);
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("{} is in order\n", file.argument())));
    let ran = nigh(&["check", file.argument(), "--json"]);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &said["ok"]), (Some(0), &true.into()));
}

#[test]
fn every_mistake_is_told_with_its_place_and_the_end_is_1() {
    let file = SettingsFile::saying(WRONG);
    {
        let ran = nigh(&["check", file.argument()]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
        let path = file.argument();
        for line in [
            format!("nigh: {path} has 2 mistakes:"),
            format!("{path}:2:1: there is no `memmory` in [cache]; the nearest is `memory`"),
            format!("{path}:5:10: `ftp://origin.example.com` has no scheme that an origin speaks"),
        ] {
            assert!(ran.stderr.contains(&line), "{line:?} is not in {}", ran.stderr);
        }
    }
}

#[test]
fn scripts_get_mistakes_as_json() {
    let file = SettingsFile::saying(WRONG);
    let ran = nigh(&["check", "--json", file.argument()]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["ok"], &said["file"]), (&false.into(), &file.argument().into()));
    let second = &said["mistakes"][1];
    assert_eq!((&second["line"], &second["column"]), (&5.into(), &10.into()));
    assert!(second["message"].as_str().unwrap().contains("write http:// or https://"));
}

#[test]
fn a_file_that_is_not_there_ends_with_1_and_wrong_use_with_2() {
    let ran = nigh(&["check", "/nowhere/nigh.toml"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("cannot read /nowhere/nigh.toml"), "{}", ran.stderr);
    assert_eq!(nigh(&["check", "--what"]).code, Some(2));
}
