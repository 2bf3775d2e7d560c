#!/bin/bash
# A client is cut off past its lease while it backs up; a second one takes over; the first comes back: nothing that is
# published changes any more, and the first says that it failed.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 300
latency c1 20
start_backup c1
unplug c1
expect 0 backup c2
newest_is_source
fingerprint >/tmp/published
plug c1
end_of_run
[ $ENDED != 0 ] || fail "the first run claims success"
sleep 10
fingerprint >/tmp/afterwards
diff /tmp/published /tmp/afterwards || fail "the returned client wrote into a snapshot"
newest_is_source
expect 0 agent c2 verify --all

# The same on a night that recycles.
for number in 1 2 3; do
    night $number 0.2
    expect 0 backup c2 --retain 2
done
night 4 0.5
client_remount c1
latency c1 100
start_night c1 --retain 2
sleep 2
unplug c1
expect 0 backup c2 --retain 2
newest_is_source
fingerprint >/tmp/published
plug c1
end_of_run
[ $ENDED != 0 ] || fail "the first run claims success"
sleep 10
fingerprint >/tmp/afterwards
diff /tmp/published /tmp/afterwards || fail "the returned client wrote into a snapshot"
newest_is_source
