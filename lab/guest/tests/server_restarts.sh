#!/bin/bash
# The server restarts three times in mid-run and forgets its reply cache: what was done may be answered by EEXIST or
# ENOENT. The run succeeds or says why not; the next one publishes the source.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 300
latency c1 20
start_backup c1
for _ in 1 2 3; do
    server_restart 2
    sleep 14
done
end_of_run
[ $ENDED = 0 ] || [ $ENDED = 1 ] || fail "exit $ENDED: $(tail -n 1 /tmp/run.stderr)"
[ $ENDED = 1 ] || newest_is_source
latency c1 1
night 1
expect 0 backup c1
newest_is_source
expect 0 agent c1 verify --all

# A night made of links, renames and removals, restarted as well.
night 2 0.3
latency c1 20
in_background backup c1
sleep 3
server_restart 2
end_of_run
[ $ENDED = 0 ] || [ $ENDED = 1 ] || fail "exit $ENDED: $(tail -n 1 /tmp/run.stderr)"
latency c1 1
expect 0 backup c1
newest_is_source
