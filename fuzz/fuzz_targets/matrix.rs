//! A matrix of round trips: whatever is taken has a median within its bounds.
#![no_main]

use std::time::Duration;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(matrix) = nigh_sim::Matrix::parse(text) {
        assert!(matrix.median_round_trip() <= Duration::from_secs(8));
    }
});
