#!/bin/bash
# The client's connection is torn down again and again; the run takes no harm.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 300
latency c1 20
start_backup c1
while running "$RUN"; do
    in_client c1 ss --kill --no-header state established dport = 2049 >>/tmp/killed
    sleep 2
done
[ "$(wc -l </tmp/killed)" -ge 2 ] || fail "connections were not torn down"
end_of_run
[ $ENDED = 0 ] || fail "exit $ENDED: $(tail -n 1 /tmp/run.stderr)"
newest_is_source
