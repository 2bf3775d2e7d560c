#!/bin/bash
# The run's first process is killed: nothing of it goes on writing, and the next run on the same client succeeds.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 300
latency c1 50
start_backup c1
kill -KILL "$(first_process c1)"
wait "$RUN" 2>/dev/null || true
sleep 5
before=$(find "$LABEL" | sort | md5sum)
sleep 5
[ "$before" = "$(find $LABEL | sort | md5sum)" ] || fail "something still writes"
[ -z "$(ip netns pids c1)" ] || fail "left running: $(ip netns pids c1 | xargs ps -o args= -p)"
latency c1 1
expect 0 backup c1
newest_is_source
