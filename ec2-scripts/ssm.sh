#!/bin/bash
# ssm.sh HOOK GROUP INSTANCE TOKEN: stops the run on this instance in good order, waits for its end, and completes the
# lifecycle hook. The orchestrator runs it through Systems Manager, which keeps what it says below ssm-logs/ in the
# bucket. Harmless when done twice, and when the agent is gone.
set -u
home=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=efs_backup/agent/environment.sh
. "$home/lib/efs_backup/agent/environment.sh"
settings=/etc/efs-backup/environment
if [ $# -ne 4 ]; then
    echo "usage: ssm.sh HOOK GROUP INSTANCE TOKEN" >&2
    exit 2
fi

agent drain "$settings" "$@" && exit 0
echo "efs-backup: the agent could not drain; the hook is completed all the same" >&2
AWS_DEFAULT_REGION=$(sed -n 's/^REGION=//p' "$settings")
export AWS_DEFAULT_REGION
aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name "$1" \
    --auto-scaling-group-name "$2" --instance-id "$3" --lifecycle-action-token "$4"
