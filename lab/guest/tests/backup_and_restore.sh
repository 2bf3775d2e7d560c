#!/bin/bash
# Three nights, each snapshot the source as it was; verify; a directory restored; all over NFS, from fresh mounts.
# short: the main job
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
setup 250
ln "$SERVER/source/d000/s0/file000002" "$SERVER/source/d000/s1/twin"
for number in 1 2 3; do
    [ $number = 1 ] || night $number
    client_remount c1
    expect 0 backup c1 --retain 2
    newest_is_source
done
[ "$(cd $LABEL && echo daily.*)" = "daily.0 daily.1" ] || fail "not two snapshots: $(ls $LABEL)"
unchanged=$(find "$LABEL/daily.0" -type f -links +1 | wc -l)
[ "$unchanged" -ge 200 ] || fail "only $unchanged files are shared between snapshots"

expect 0 agent c2 verify --all
cp -a "$SERVER/source" /tmp/wanted
python3 /job/lab/tree.py damage "$SERVER/source/d000"
expect 0 agent c2 restore --source /mnt/c2/source --subdir /d000/
found=$(differences /tmp/wanted/d000 "$SERVER/source/d000")
[ -z "$found" ] || fail "restored otherwise than it was: $(echo "$found" | head -n 3 | tr '\n' ';')"
