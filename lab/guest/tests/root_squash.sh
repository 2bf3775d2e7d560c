#!/bin/bash
# A server that makes root nobody: refused in one line that says so, nothing published.
# short: a mistake of set-up that users make
# shellcheck source=lab/guest/testing.sh
. /job/lab/testing.sh
server_start sync squash
chmod 755 "$SERVER/source" "$SERVER/backup"
client_add c1 1
client_mount c1
python3 /job/lab/tree.py create "$SERVER/source" --files 20
status=0
backup c1 >"$OUT.stdout" 2>"$OUT.stderr" || status=$?
[ $status = 1 ] || [ $status = 2 ] || fail "exit $status"
complaint_is_plain "$OUT.stderr"
one_line 'squash'
if compgen -G "$LABEL/daily.*" >/dev/null; then fail "a snapshot was published"; fi

# The same where the folder can be made by anybody, so that only ownership is lost.
chmod 777 "$SERVER/backup"
expect $status backup c1
one_line 'squash'
if compgen -G "$LABEL/daily.*" >/dev/null; then fail "a snapshot was published"; fi
