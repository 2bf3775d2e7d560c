#!/bin/bash
# This project's command. usage: ours.sh VERB SOURCE BACKUP [DIRECTORY or KEEP]
set -eu
verb=$1 source=${2:-} backup=${3:-} last=${4:-}
export PYTHONPATH=/job/python
agent() { python3 -m efs_backup "$@" --backup "$backup" ${WORKERS:+--workers "$WORKERS"}; }

case $verb in
    setup | tidy) ;;
    first | night) agent backup --source "$source" --retain "$RETAIN" ;;
    restore) agent restore --source "$source" --subdir "/$last/" ;;
    remove) agent backup --source "$source" --retain "$last" ;;
    newest) echo "$backup/efs-backup/daily.0" ;;
    plain) ;;
esac
