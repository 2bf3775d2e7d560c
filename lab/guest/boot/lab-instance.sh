#!/bin/bash
# start: takes the job from the second disk (a tar archive) and lets it prepare the instance's surroundings.
# stop: lets the job save its results, and leaves them on the third disk (a tar archive again).
set -eu
if [ "$1" = start ]; then
    for directory in /job /results /srv/efs; do mount -t tmpfs -o size=3g,nr_inodes=1m tmpfs $directory; done
    tar -xf /dev/vdb -C /job
    exec /job/run start
fi
status=0
/job/run stop || status=$?
echo "$status" >/results/status
tar -cf /dev/vdc -C /results .
sync
