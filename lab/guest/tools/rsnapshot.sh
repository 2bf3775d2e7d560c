#!/bin/bash
# rsnapshot itself, with link_dest. usage: rsnapshot.sh VERB SOURCE BACKUP [DIRECTORY or KEEP]
set -eu
verb=$1 source=${2:-} root=${3:-}/rsnapshot last=${4:-}
configuration=/tmp/rsnapshot$(echo "${3:-}" | tr / -).conf

configure() {
    mkdir -p "$root"
    printf '%s\t%s\n' config_version 1.2 snapshot_root "$root/" no_create_root 1 cmd_rsync /usr/bin/rsync \
        link_dest 1 lockfile "$configuration.pid" rsync_short_args -a \
        rsync_long_args "--delete --numeric-ids" >"$configuration"
    printf 'retain\tdaily\t%s\nbackup\t%s/\ttree/\n' "$RETAIN" "$source" >>"$configuration"
}

case $verb in
    setup) configure ;;
    tidy) ;;
    first | night) rsnapshot -c "$configuration" daily ;;
    restore) rsync -a --delete --numeric-ids "$root/daily.0/tree/$last/" "$source/$last/" ;;
    remove) rm -rf "$root/daily.$last" ;;
    newest) echo "$root/daily.0/tree" ;;
    past) echo trees ;;
esac
