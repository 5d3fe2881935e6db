//! The origin's URL, from whoever starts the edge: what reads names a host, and reads back.
#![no_main]

use nigh_net::origin::Settings;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(settings) = Settings::parse(text) else { return };
    let url = format!("{}://{}", settings.scheme.as_str(), settings.authority());
    let again = Settings::parse(&url).expect("what was read is an origin");
    assert_eq!(
        (again.scheme, again.authority(), again.port),
        (settings.scheme, settings.authority(), settings.port),
    );
});
