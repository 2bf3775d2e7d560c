#!/bin/bash
# borg, its cache kept on the client's disk, unencrypted. usage: borg.sh VERB SOURCE BACKUP [DIRECTORY or KEEP]
set -eu
verb=$1 source=${2:-} last=${4:-}
export BORG_REPO=${3:-}/borg BORG_BASE_DIR=/tmp/borg BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes

case $verb in
    setup) borg init --encryption none ;;
    first | night) borg create "::{now:%Y%m%d-%H%M%S.%f}" "$source" ;;
    tidy) borg prune --keep-last "$RETAIN" && borg compact ;;
    restore) cd / && borg extract "::$(borg list --last 1 --format '{archive}')" "${source#/}/$last" ;;
    remove) borg prune --keep-last "$last" && borg compact ;;
    newest) ;;
    past) ;;
esac
