#!/bin/bash
# The steps of the published EFS-to-EFS backup solution (v1.5), written anew from their description.
# usage: published.sh VERB SOURCE BACKUP [DIRECTORY or KEEP]
set -eu
verb=$1 source=${2:-} snapshots=${3:-}/efs-backup last=${4:-}
threads=${WORKERS:-16}
preserve="-lptgoD --numeric-ids"

copy() { # FROM TO [RSYNC OPTIONS]
    fpsync -n "$threads" -o "$preserve${3:+ $3}" "$1/" "$2/" </dev/null
}

prune() { # NUMBER: directories in parallel, the deepest first
    [ -d "$snapshots/daily.$1" ] || return 0
    tree -dfi --noreport -L 5 "$snapshots/daily.$1" | tac | parallel --will-cite -j "$threads" rm -rf
    rm -rf "$snapshots/daily.$1"
}

rotate() {
    local number
    for ((number = RETAIN - 1; number > 0; number--)); do
        if [ -d "$snapshots/daily.$((number - 1))" ]; then
            mv "$snapshots/daily.$((number - 1))" "$snapshots/daily.$number"
        fi
    done
    mkdir -p "$snapshots/daily.0"
}

backup() {
    prune $((RETAIN - 1))
    rotate
    if [ -d "$snapshots/daily.1" ]; then
        copy "$snapshots/daily.1" "$snapshots/daily.0" "--link-dest=$snapshots/daily.1"
    fi
    copy "$source" "$snapshots/daily.0"
    rsync -r --delete --existing --ignore-existing --ignore-errors "$source/" "$snapshots/daily.0/"
}

case $verb in
    setup | tidy) ;;
    first | night) backup ;;
    restore) copy "$snapshots/daily.0/$last" "$source/$last" ;;
    remove) prune "$last" ;;
    newest) echo "$snapshots/daily.0" ;;
    past) echo trees ;;
esac
