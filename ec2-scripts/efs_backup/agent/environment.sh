# Sourced by boot.sh and ssm.sh: where the release's programs are below $home, and how its agent is run.
# shellcheck shell=bash

# The release brings fpsync for both architectures; the system's own is used where it does not.
PATH="${home:?}/fpart/$(uname -m)/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH PYTHONPATH="$home/lib" PYTHONUNBUFFERED=1 LC_ALL=C.UTF-8

# The metadata service answers late on an instance that has just come up; a call without credentials would fail at once.
export AWS_METADATA_SERVICE_TIMEOUT=5 AWS_METADATA_SERVICE_NUM_ATTEMPTS=5

# Prints the newest Python that the agent can run with, of those that are there.
find_python() {
    local name
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# agent VERB WORD...: runs the agent to its end.
agent() {
    local python
    if ! python=$(find_python); then
        echo "efs-backup: there is no Python 3.11 or newer on this instance" >&2
        return 1
    fi
    "$python" -s -m efs_backup.agent "$@"
}
