#!/bin/bash
# What the tests share: a set-up, the product's command on a client, and checks made where the server is.
# shellcheck source=lab/guest/nfs.sh
. /job/lab/nfs.sh
export PYTHONPATH=/job/python
LABEL=$SERVER/backup/efs-backup
OUT=/tmp/out

fail() {
    echo "FAILED: $*"
    exit 1
}

setup() { # [FILES]: a server that commits before it answers, two clients, a source tree
    server_start sync
    local client index=1
    for client in c1 c2; do
        client_add "$client" "$index"
        client_mount "$client"
        index=$((index + 1))
    done
    python3 /job/lab/tree.py create "$SERVER/source" --files "${1:-250}"
    sleep 1
}

agent() { # CLIENT VERB [OPTIONS]: the product on that client
    in_client "$1" python3 -m efs_backup "$2" --backup "/mnt/$1/backup" "${@:3}"
}

backup() { # CLIENT [OPTIONS]: as the agent calls it, for each client knows the server by another address
    agent "$1" backup --source "/mnt/$1/source" --source-id lab "${@:2}"
}

expect() { # STATUS COMMAND...: the command's output goes to "$OUT.stdout" and "$OUT.stderr"
    local wanted=$1 status=0
    shift
    "$@" >"$OUT.stdout" 2>"$OUT.stderr" || status=$?
    complaint_is_plain "$OUT.stderr"
    [ $status = "$wanted" ] || fail "exit $status instead of $wanted: $* : $(tail -n 1 $OUT.stderr)"
}

complaint_is_plain() { # FILE: no traceback ever reaches a user
    if grep -q '^Traceback' "$1"; then
        cat "$1"
        fail "a traceback: $(tail -n 1 "$1")"
    fi
}

one_line() { # PATTERN: the last command complained in exactly one line that matches
    [ "$(wc -l <$OUT.stderr)" = 1 ] || fail "not one line but $(wc -l <$OUT.stderr): $(head -c 300 $OUT.stderr)"
    grep -qiE "$1" "$OUT.stderr" || fail "does not say $1: $(cat $OUT.stderr)"
}

night() { # NUMBER [RATE]: the source changes where the server is
    python3 /job/lab/tree.py night "$SERVER/source" --number "$1" --rate "${2:-0.05}"
    sleep 1
}

differences() { # DIRECTORY DIRECTORY: what differs, content, attributes and hard links, one entry a line
    rsync -ainH --checksum --delete "$1/" "$2/"
}

newest_is_source() {
    local found
    found=$(differences "$SERVER/source" "$LABEL/daily.0") || fail "daily.0 cannot be compared"
    [ -z "$found" ] || fail "daily.0 is not the source: $(echo "$found" | head -n 5 | tr '\n' ';')"
}

fingerprint() { # everything in the published snapshots: names, inodes, attributes, content
    find "$LABEL" -path "$LABEL/daily.*" -printf '%p %y %i %s %m %U:%G %T@\n' | sort
    find "$LABEL" -path "$LABEL/daily.*" -type f -print0 | sort -z | xargs -0 md5sum
}

staged() { # how many files the run in progress has in staging
    find "$LABEL/.efs-backup/daily/staging" -type f 2>/dev/null | wc -l
}

wait_until() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited in vain for: $* (the run said: $(tail -n 1 /tmp/run.stderr))"
        sleep 0.3
    done
}

staged_at_least() { [ "$(staged)" -ge "$1" ]; }

running() { kill -0 "$1" 2>/dev/null; }

in_background() { # COMMAND...: the process is $RUN
    "$@" >/tmp/run.stdout 2>/tmp/run.stderr &
    RUN=$!
}

start_backup() { # CLIENT [OPTIONS]: in the background, far enough that files are in staging; the process is "$RUN"
    in_background backup "$@"
    wait_until 300 started_or_over
    running "$RUN" || fail "the run was over before anything could be done to it: $(tail -n 1 /tmp/run.stderr)"
}

started_or_over() { staged_at_least 20 || ! running "$RUN"; }

start_night() { # CLIENT [OPTIONS]: in the background, far enough that there is a staging directory; it is "$RUN"
    in_background backup "$@"
    wait_until 120 begun_or_over
    running "$RUN" || fail "the run was over before anything could be done to it: $(tail -n 1 /tmp/run.stderr)"
}

begun_or_over() { [ -d "$LABEL/.efs-backup/daily/staging" ] || ! running "$RUN"; }

# shellcheck disable=SC2034 # the tests look at ENDED
end_of_run() { # sets ENDED to the exit status of the run in the background
    ENDED=0
    wait "$RUN" || ENDED=$?
    complaint_is_plain /tmp/run.stderr
}

first_process() { # CLIENT: the process id of the engine itself, of which all others of its run are children
    pgrep -o -f "efs_backup .*/mnt/$1/"
}

kill_processes() { # CLIENT: everything that runs with this client's network, at once
    # shellcheck disable=SC2046 # one word for each process
    kill -KILL $(ip netns pids "$1") 2>/dev/null || true
}
