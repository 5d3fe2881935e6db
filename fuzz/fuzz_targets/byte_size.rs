//! Sizes as people write them: what is printed reads back as at most the size, and nearly it.
#![no_main]

use nigh_base::ByteSize;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(size) = text.parse::<ByteSize>() else { return };
    let printed = size.to_string();
    let again: ByteSize = printed.parse().expect("what is printed is a size");
    assert!(again <= size, "{printed} is more than {} bytes", size.bytes());
    // One decimal is printed and the rest cut off: less than a tenth of the unit is lost, and the
    // whole part is at least one.
    assert!(size.bytes() - again.bytes() <= size.bytes() / 10, "{printed} of {}", size.bytes());
});
