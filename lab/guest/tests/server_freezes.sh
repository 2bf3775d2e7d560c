#!/bin/bash
# The server answers nobody for 20 seconds in mid-run: the run goes on and succeeds. For 70 seconds, longer than a
# holder of the lock may be silent: the run succeeds or says that it failed, and the next one publishes the source.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 300
latency c1 20
start_backup c1
server_freeze
sleep 20
running "$RUN" || fail "the run gave up: $(tail -n 1 /tmp/run.stderr)"
server_thaw
end_of_run
[ $ENDED = 0 ] || fail "exit $ENDED: $(tail -n 1 /tmp/run.stderr)"
newest_is_source

night 1 0.5
latency c1 50
start_night c1
server_freeze
sleep 70
server_thaw
end_of_run
[ $ENDED = 0 ] || [ $ENDED = 1 ] || fail "exit $ENDED: $(tail -n 1 /tmp/run.stderr)"
latency c1 1
expect 0 backup c1
newest_is_source
expect 0 agent c1 verify --all
