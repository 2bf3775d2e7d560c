#!/bin/bash
# One bare listing of the source with its attributes: what no comparing tool can go below.
# usage: listing.sh VERB SOURCE BACKUP
set -eu
case $1 in
    first | night) find "${2:-}" -printf '%s\n' ;;
    *) ;; # nothing to keep
esac
