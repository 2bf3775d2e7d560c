#!/bin/bash
# The server answers nobody for 45 seconds in mid-run, less than the lease: the run goes on and succeeds.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 500
latency c1 20
start_backup c1
server_freeze
sleep 45
running "$RUN" || fail "the run gave up: $(tail -n 1 /tmp/run.stderr)"
server_thaw
end_of_run
[ $ENDED = 0 ] || fail "exit $ENDED: $(tail -n 1 /tmp/run.stderr)"
newest_is_source
