#!/bin/bash
# While one client backs up, the other is refused with status 75 and one line; afterwards it may.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 400
latency c1 50
start_backup c1
expect 75 backup c2
one_line 'lock|another run|running'
end_of_run
[ $ENDED = 0 ] || fail "the first run ended with $ENDED: $(tail -n 1 /tmp/run.stderr)"
newest_is_source
expect 0 backup c2
newest_is_source
