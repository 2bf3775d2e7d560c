#!/bin/bash
# Another client removes directories while a run lists them or copies what changed in them: gone, not unreadable.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 20
for number in $(seq 100 259); do
    mkdir -p "$SERVER/source/many/$number"
    echo "$number" >"$SERVER/source/many/$number/file"
done
expect 0 backup c1
for number in $(seq 100 259); do
    echo "$number too" >"$SERVER/source/many/$number/new"
done
client_remount c1
latency c1 200
start_night c1 --json
for number in $(seq 100 2 259); do
    if running "$RUN"; then rm -r "${SERVER:?}/source/many/$number"; fi
    sleep 0.05
done
end_of_run
[ $ENDED -le 1 ] || fail "exit $ENDED: $(tail -n 1 /tmp/run.stderr)"
python3 - <<'P' || fail "gone is called unreadable: $(head -c 600 /tmp/run.stderr)"
import json, sys
report = json.load(open("/tmp/run.stdout"))
print("deleted:", report["files_deleted"], "unreadable:", report["unreadable"])
sys.exit(bool(report["unreadable"]))
P
latency c1 0
expect 0 backup c1
newest_is_source
