#!/bin/bash
# So little can be written in a second that heartbeats wait behind large files, for some twenty seconds: the run goes on.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 20
for number in 1 2 3 4 5 6 7 8; do
    head -c 800000 /dev/urandom >"$SERVER/source/large$number"
done
latency c1 2
upload c1 300
in_background backup c1
last='' since=$SECONDS longest=0
while running "$RUN"; do
    beat=$(head -c 20 "$LABEL/.efs-backup/lock" 2>/dev/null || true)
    if [ "$beat" != "$last" ]; then last=$beat since=$SECONDS; fi
    if [ $((SECONDS - since)) -gt $longest ]; then longest=$((SECONDS - since)); fi
    sleep 1
done
echo "the longest wait for a heartbeat was $longest seconds"
end_of_run
[ $longest -gt 8 ] || fail "that is too short to show anything"
[ $ENDED = 0 ] || fail "exit $ENDED after a wait of $longest seconds: $(tail -n 1 /tmp/run.stderr)"
newest_is_source
