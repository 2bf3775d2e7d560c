#!/bin/bash
# Measures one tool through a first backup, nights of change, a night without, a restore and a removal.
# From the environment: TOOL SCENARIOS (FILES:RATE ...) NIGHTS RETAIN LATENCIES STEPS [WORKERS] [TRACE]; lists are
# separated by blanks.
# Writes one JSON line for each step to /results/measures.jsonl; exits 1 if a step failed.
set -eu
# shellcheck source=lab/guest/nfs.sh
. /job/lab/nfs.sh
export RETAIN WORKERS
# shellcheck disable=SC2153 # TOOL comes from the environment
tool=/job/lab/tools/$TOOL.sh
source=/mnt/c1/source backup=/mnt/c1/backup
served_source=$SERVER/source served_backup=$SERVER/backup
night=0 failures=0

say() { echo "$*" >/dev/ttyS1; }

fresh() { # MILLISECONDS: a client that has just booted
    client_remount c1
    latency c1 "$1"
}

wanted() { case " $STEPS " in *" $1 "*) ;; *) false ;; esac }

measure() { # STEP MILLISECONDS COMMAND...: measured at that latency, by a client that has just booted
    fresh "$2"
    local label="$1 $2ms $FILES $RATE"
    local status=0 trace=()
    # Watching costs time: with TRACE the seconds are not worth reading.
    if [ -n "$TRACE" ]; then trace=(python3 /job/lab/calls.py "/results/$label.calls"); fi
    python3 /job/lab/measure.py c1 "$label" /results/measures.jsonl "${trace[@]}" "${@:3}" || status=$?
    if [ "$status" = 0 ]; then say "$(tail -n 1 /results/measures.jsonl)"; else
        say "failed: $label of $TOOL, exit $status: $(tail -n 1 "/results/$label.log")"
        failures=$((failures + 1))
    fi
    latency c1 0
}

unmeasured() { # COMMAND...: as fast as can be, its output kept for when it fails
    fresh 0
    "$@" >/tmp/unmeasured.log 2>&1 || {
        say "failed: $* : $(tail -n 1 /tmp/unmeasured.log)"
        exit 1
    }
}

change() { # the source changes where the server is: no client of ours sees it happen
    night=$((night + 1))
    python3 /job/lab/tree.py night "$served_source/tree" --number $night --rate "$RATE"
    sleep 5
}

warm() { # every program once before the clock counts: later it comes from memory
    mkdir -p "$served_backup/warm"
    python3 /job/lab/tree.py create "$served_source/warm" --files 250
    unmeasured "$tool" setup $source/warm $backup/warm
    unmeasured "$tool" first $source/warm $backup/warm
    python3 /job/lab/tree.py night "$served_source/warm" --number 1 --rate 0.1
    for verb in night tidy; do unmeasured "$tool" $verb $source/warm $backup/warm; done
    for verb in "restore d000" "remove 1"; do
        fresh 0 # a step that fails here fails where it is measured too, and is reported there
        "$tool" "${verb% *}" $source/warm $backup/warm "${verb#* }" >/tmp/warm.log 2>&1 || true
    done
}

plain_night() { # what a night leaves where snapshots are trees of plain files, made on the server: it is the same
    local newest snapshots inside number
    newest=$("$tool" newest "$served_source/tree" "$served_backup/main")
    snapshots=${newest%/daily.0*} inside=${newest#*/daily.0}
    rm -rf "$snapshots/daily.$((RETAIN - 1))"
    for ((number = RETAIN - 2; number >= 0; number--)); do
        if [ -d "$snapshots/daily.$number" ]; then
            mv "$snapshots/daily.$number" "$snapshots/daily.$((number + 1))"
        fi
    done
    mkdir -p "$newest"
    rsync -a --link-dest="$snapshots/daily.1$inside" "$served_source/tree/" "$newest/"
}

past() { # VERB: a backup that is not measured; where it comes to the same it is made on the server, which is quicker
    case $("$tool" past) in
        trees) plain_night ;;
        served) unmeasured "$tool" "$1" "$served_source/tree" "$served_backup/main" ;;
        *)
            unmeasured "$tool" "$1" $source/tree $backup/main
            unmeasured "$tool" tidy $source/tree $backup/main
            ;;
    esac
}

same() { # the newest snapshot is the source (times of directories apart: rsync itself misses some), where it is a tree
    local newest differences
    newest=$("$tool" newest $source/tree "$backup/main" | sed "s|^/mnt/c1|$SERVER|")
    [ -n "$newest" ] || return 0
    differences=$(rsync -ainO --checksum --delete "$served_source/tree/" "$newest/" | head -n 3)
    [ -z "$differences" ] || {
        say "failed: $TOOL's snapshot differs: $differences"
        failures=$((failures + 1))
    }
}

empty() { # no snapshots
    rm -rf "$served_backup/main"
    mkdir -p "$served_backup/main"
    unmeasured "$tool" setup $source/tree $backup/main
}

first_backup() {
    if ! wanted first; then
        empty
        past first
        return
    fi
    for latency in $LATENCIES; do
        empty
        measure first "$latency" "$tool" first $source/tree $backup/main
    done
}

a_night() {
    for latency in $LATENCIES; do
        change
        measure night "$latency" "$tool" night $source/tree $backup/main
        unmeasured "$tool" tidy $source/tree $backup/main
    done
    same
}

a_quiet_night() {
    for latency in $LATENCIES; do
        measure quiet "$latency" "$tool" night $source/tree $backup/main
        unmeasured "$tool" tidy $source/tree $backup/main
    done
}

a_restore() {
    for latency in $LATENCIES; do
        cp -a "$served_source/tree/d000" /tmp/wanted
        python3 /job/lab/tree.py damage "$served_source/tree/d000"
        measure restore "$latency" "$tool" restore $source/tree $backup/main d000
        rsync -a --checksum --delete /tmp/wanted/ "$served_source/tree/d000/" # also where the tool failed
        rm -rf /tmp/wanted
    done
}

a_removal() {
    local keep=$RETAIN
    for latency in $LATENCIES; do
        keep=$((keep - 1))
        measure remove "$latency" "$tool" remove $source/tree $backup/main $keep
    done
}

scenario() { # FILES RATE
    FILES=$1 RATE=$2 night=0
    rm -rf "$served_source/tree"
    python3 /job/lab/tree.py create "$served_source/tree" --files "$FILES"
    sleep 5
    first_backup
    [ "$STEPS" != first ] || return 0
    while [ $night -lt "$NIGHTS" ]; do
        change
        past night
    done
    say "$FILES files, $RATE: history of $NIGHTS nights"
    if wanted night; then a_night; fi
    if wanted quiet; then a_quiet_night; fi
    if wanted restore; then a_restore; fi
    if wanted remove; then a_removal; fi
}

server_start async
client_add c1 1
client_mount c1
warm
say "warm"
for one in $SCENARIOS; do scenario "${one%:*}" "${one#*:}"; done
[ $failures = 0 ]
