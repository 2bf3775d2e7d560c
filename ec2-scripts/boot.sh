#!/bin/bash
# boot.sh ENVFILE: installs what is missing on the instance and runs the agent to its end (docs/agent.md).
#
# Returns 0 once the agent has taken over, whatever comes of the run. Another status means that nobody has recorded
# anything, and that the caller has to.
set -u
home=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=efs_backup/agent/environment.sh
. "$home/lib/efs_backup/agent/environment.sh"
settings=${1:?usage: boot.sh ENVFILE}
INSTALL_SECONDS=600

missing() { ! command -v "$1" >/dev/null 2>&1; }

# Runs the package manager, with an end, since mirrors may be out of reach. That it fails is told and decided later.
install() {
    echo "efs-backup: installing $*"
    if command -v dnf >/dev/null 2>&1; then
        timeout "$INSTALL_SECONDS" dnf install -y -q "$@" </dev/null
    elif command -v apt-get >/dev/null 2>&1; then
        timeout "$INSTALL_SECONDS" apt-get update -qq </dev/null &&
            DEBIAN_FRONTEND=noninteractive timeout "$INSTALL_SECONDS" apt-get install -y -qq "$@" </dev/null
    else
        false
    fi || echo "efs-backup: $* could not be installed" >&2
}

# Each package by itself: one that cannot be had must not keep the others away.
install_missing() {
    local nfs=nfs-common python=python3
    if command -v dnf >/dev/null 2>&1; then
        nfs=nfs-utils python=python3.11
        missing mount.efs && install amazon-efs-utils
    fi
    find_python >/dev/null || install "$python"
    missing mount.nfs4 && missing mount.efs && install "$nfs"
    missing rsync && install rsync
    { missing setpriv || missing unshare; } && install util-linux
    return 0
}

install_missing
agent run "$settings" && exit 0
echo "efs-backup: the agent ended with status $?; what it began is ended without it" >&2
agent finish "$settings"
