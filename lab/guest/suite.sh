#!/bin/bash
# Runs the tests named on the command line, each with a server, a network and clients of its own, and says on the second
# serial line how each ended: 'pass NAME SECONDS' or 'fail NAME SECONDS REASON'. Exits 1 if one failed.
set -u
# shellcheck source=lab/guest/nfs.sh
. /job/lab/nfs.sh
LIMIT=${LIMIT:-900} # seconds a test may take
group=/sys/fs/cgroup/test
failures=0

say() { echo "$*" >/dev/ttyS1; }

reason() { # LOG STATUS: the last complaint in a test's log
    [ "$2" = 124 ] && echo -n "took longer than $LIMIT s; "
    grep '^FAILED: ' "$1" | tail -n 1 | cut -c 9- | grep . || tail -n 1 "$1"
}

tidy_up() { # whatever state the test left, the next finds none of it
    local name
    for name in $(ip netns list | cut -d ' ' -f 1); do plug "$name"; done
    echo 1 >$group/cgroup.kill
    pidof nfsd >/dev/null || server_threads
    for name in /mnt/*/*; do
        if mountpoint -q "$name"; then timeout 20 umount -f "$name" || umount -l "$name"; fi
    done
    for name in $(ip netns list | cut -d ' ' -f 1); do ip netns del "$name"; done
    server_stop
    exportfs -ua
    umount $SERVER/source $SERVER/backup
    rm -rf /tmp/*
}

run_test() { # NAME
    local name=$1 log=/results/$1.log status=0 begun=$SECONDS
    (
        echo "$BASHPID" >$group/cgroup.procs
        exec timeout -k 20 "$LIMIT" bash -eu -o pipefail "/job/lab/tests/$name.sh"
    ) >"$log" 2>&1 || status=$?
    if [ $status = 0 ]; then say "pass $name $((SECONDS - begun))"; else
        failures=$((failures + 1))
        say "fail $name $((SECONDS - begun)) $(reason "$log" $status)"
    fi
    tidy_up >>"$log" 2>&1
}

mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p $group
for name in "$@"; do run_test "$name"; done
[ $failures = 0 ]
