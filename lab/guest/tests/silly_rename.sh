#!/bin/bash
# Files of the spare are held open on the same client while it is recycled: no .nfsXXXX is ever published.
# short: a promise about what is in a snapshot
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 100
for number in 1 2 3; do
    night $number 0.2
    expect 0 backup c1 --retain 2
done
spare=/mnt/c1/backup/efs-backup/.efs-backup/daily/spare
[ -d "$spare" ] || fail "no spare to hold files open in: $(find $LABEL -maxdepth 3)"
python3 - "$spare" <<'P' &
import os, sys, time
held = [os.open(os.path.join(d, n), os.O_RDONLY) for d, _, names in os.walk(sys.argv[1]) for n in names if n.startswith(("file", "night"))]
open("/tmp/held", "w").write(str(len(held)))
time.sleep(600)
P
holder=$!
wait_until 120 test -s /tmp/held
renamed() { awk '/^\tevents:/ { sum += $23 } END { print sum }' /proc/self/mountstats; } # the kernel counts them
before=$(renamed)
night 4 0.2
expect 0 backup c1 --retain 2
[ "$(renamed)" -gt "$before" ] || fail "nothing was removed while it was open: the test has shown nothing"
kill "$holder"
wait "$holder" || true
sleep 2
found=$(find "$LABEL"/daily.* -name '.nfs*')
[ -z "$found" ] || fail "published: $found"
newest_is_source
