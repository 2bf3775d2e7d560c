#!/bin/bash
# Another client changes the source just before a run whose client has everything in its caches: the snapshot is as new.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 100
expect 0 backup c1
find /mnt/c1/source -printf '%s %C@\n' >/dev/null
python3 /job/lab/tree.py night /mnt/c2/source --number 1 --rate 0.3
expect 0 backup c1
newest_is_source
client_remount c1
expect 0 backup c1
newest_is_source
