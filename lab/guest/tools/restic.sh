#!/bin/bash
# restic, its cache kept on the client's disk. usage: restic.sh VERB SOURCE BACKUP [DIRECTORY or KEEP]
set -eu
verb=$1 source=${2:-} last=${4:-}
export RESTIC_REPOSITORY=${3:-}/restic RESTIC_PASSWORD=lab RESTIC_CACHE_DIR=/tmp/restic
quietly="-q"

case $verb in
    setup) restic $quietly init ;;
    first | night) restic $quietly backup "$source" ;;
    tidy) restic $quietly forget --keep-last "$RETAIN" --prune ;;
    restore) restic $quietly restore latest --target / --include "$source/$last" ;;
    remove) restic $quietly forget --keep-last "$last" --prune ;;
    newest) ;;
    past) ;;
esac
