#!/bin/bash
# The ground the other tests stand on: two NFSv4.1 clients that the server tells apart, latency, silly renames, a cut.
# short: needs no run of the product
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 5
[ "$(grep -c ' nfs4 .*vers=4.1' /proc/mounts)" = 4 ] || fail "not four NFSv4.1 mounts"

echo x >/mnt/c1/backup/held
[ "$(cat /mnt/c2/backup/held)" = x ] || fail "the clients do not share a server"
flock /mnt/c1/backup/held sleep 4 &
sleep 1
if flock --nonblock /mnt/c2/backup/held true; then fail "both clients hold one lock"; fi
wait

exec 3<>/mnt/c1/backup/held
rm /mnt/c1/backup/held
compgen -G "$SERVER/backup/.nfs*" >/dev/null || fail "no silly rename"
exec 3>&-

latency c1 50
begun=$(date +%s%N)
mkdir /mnt/c1/backup/slow
[ $(($(date +%s%N) - begun)) -ge 50000000 ] || fail "50 ms of latency are not felt"

unplug c1
if timeout 5 mkdir /mnt/c1/backup/unreachable; then fail "a client off the network reaches the server"; fi
plug c1
wait_until 150 test -d /mnt/c2/backup/slow
