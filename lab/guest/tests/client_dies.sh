#!/bin/bash
# A client machine dies in mid-run, its lock with it: another takes over once the lease is past.
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 300
latency c1 20
start_backup c1
unplug c1
kill_processes c1
expect 0 backup c2 # it waits for the lease, but not for ever: 75 would be a failure
newest_is_source
expect 0 agent c2 verify --all
