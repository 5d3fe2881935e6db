#!/usr/bin/env bash
# schemathesis as the judge of the admin API: it reads the API's own description, asks what that
# allows and what it forbids, and holds every answer against it.
#
# Two operations are left out: /v1/drain would end the edge, and /v1/events never ends by itself.
. "$(dirname "$0")/harness.bash"
need curl openssl python3

schemathesis=schemathesis==4.32.5
tools=$here/../../target/tools/$schemathesis
judge=$tools/bin/schemathesis
[ -x "$judge" ] || {
    rm -rf "$tools"
    python3 -m venv "$tools" >"$work/said" 2>&1 &&
        "$tools/bin/pip" install --quiet --disable-pip-version-check "$schemathesis" >>"$work/said" 2>&1 || {
        cat "$work/said"
        rm -rf "$tools"
        give_up "$schemathesis is installed from PyPI"
    }
}

# What a description cannot say: that just one of several parameters must be there, which text is a
# settings file, and which settings are in effect, or that this edge is in no cluster that shares any. There it is no fault to refuse what the description
# allows, and other settings in effect are told of before the ones that came are looked at.
cat >"$work/schemathesis.toml" <<'END'
[[operations]]
include-path = "/v1/purge"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404]
[[operations]]
include-path-regex = "^/v1/config"
checks.positive_data_acceptance.expected-statuses = ["2xx", 409, 412, 422]
checks.negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429, "5xx"]
[[operations]]
include-path = "/v1/settings"
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 412, 422]
checks.negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429, "5xx"]
END

# What the judge says of an edge; its options follow.
judged() {
    (cd "$work" && "$judge" --config-file "$work/schemathesis.toml" run "$admin/v1/openapi.json" \
        --exclude-path /v1/drain --exclude-path /v1/events --seed 1 --no-color --request-timeout 10 "$@") \
        >"$work/judged" 2>&1
    local code=$?
    [ "$code" -eq 0 ] || cat "$work/judged"
    return "$code"
}

admin_of() {
    admin=$(sed -n 's|.*admin on \(http://[^ ]*\).*|\1|p' "$work/nigh.log")
    [ -n "$admin" ] || give_up "nigh says where its admin address is"
}

start_origin
start_nigh --memory 64MiB --admin 127.0.0.1:0
admin_of
curl -sS --max-time 10 -o /dev/null "$http/bytes/100"
check "schemathesis finds nothing in 20 s" judged --max-examples 25 --max-time 20
check "it has asked hundreds of questions" contains "$work/judged" '[0-9]{3,} generated'
check "and the edge serves on" curl -sSf --max-time 10 -o /dev/null "$http/bytes/100"
check "with a description that has every path" \
    equal "$(curl -sS --max-time 10 "$admin/v1/openapi.json" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["paths"]))')" 16
kill "$nigh_pid"
wait "$nigh_pid"

# With a token, the judge also asks without it.
openssl rand -hex 32 >"$work/token"
start_nigh --memory 64MiB --admin 127.0.0.1:0 --admin-token-file "$work/token"
admin_of
check "without the token there is no answer" \
    equal "$(curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "$admin/v1/openapi.json")" 401
check "schemathesis finds nothing with a token" judged --max-time 10 --phases examples,coverage \
    -H "Authorization: Bearer $(cat "$work/token")"
check "it has asked hundreds of questions with and without" contains "$work/judged" '[0-9]{3,} generated'
finish
