#!/usr/bin/env bash
# Control state in a real etcd: the conformance tests of all engines, and an etcd that is stopped,
# killed, set back and started again while edges watch. The tests start each etcd themselves.
. "$(dirname "$0")/harness.bash"
need etcd protoc cargo

# test_etcd: runs them; what they say stays in $work/tests.
test_etcd() {
    TMPDIR=$work cargo test --locked --package nigh-net --features etcd --lib control::etcd \
        >"$work/tests" 2>&1 || {
        tail -n 60 "$work/tests"
        return 1
    }
}

check "control state in an etcd is what the contract says" test_etcd
check "and that was tested" contains "$work/tests" '^test result: ok\. [0-9]{2,} passed; 0 failed'
finish
