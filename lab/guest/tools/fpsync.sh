#!/bin/bash
# fpsync by itself, as a first copy: what a first backup is held against. usage: fpsync.sh VERB SOURCE BACKUP
set -eu
verb=$1 source=${2:-} copy=${3:-}/copy

case $verb in
    first) mkdir -p "$copy" && fpsync -n "${WORKERS:-8}" -o "-lptgoD --numeric-ids" "$source/" "$copy/" </dev/null ;;
    newest) echo "$copy" ;;
    past) echo trees ;;
    *) ;; # it keeps no history
esac
