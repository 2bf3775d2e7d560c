#!/bin/bash
# This project's command. usage: ours.sh VERB SOURCE BACKUP [DIRECTORY or KEEP]
set -eu
verb=$1 source=${2:-} backup=${3:-} last=${4:-}
export PYTHONPATH=/job/python
# As the agent does on the instance, which serves nothing else: each LINK costs an ACCESS less (docs/performance.md).
echo "${PROTECTED_HARDLINKS:-0}" >/proc/sys/fs/protected_hardlinks
agent() { python3 -m efs_backup "$@" --backup "$backup" ${WORKERS:+--workers "$WORKERS"}; }

case $verb in
    setup | tidy) ;;
    first | night) agent backup --source "$source" --source-id lab --retain "$RETAIN" ;;
    restore) agent restore --source "$source" --source-id lab --subdir "/$last/" ;;
    remove) agent backup --source "$source" --source-id lab --retain "$last" ;;
    newest) echo "$backup/efs-backup/daily.0" ;;
    past) echo served ;;
esac
