"""Uploads the logs of a run to the bucket."""

from __future__ import annotations

import os

from efs_backup.agent.effects.aws import AwsError
from efs_backup.agent.effects.engine import LOG_DIRECTORY
from efs_backup.agent.effects.instance import Instance
from efs_backup.agent.effects.says import say
from efs_backup.agent.pure.lognames import address_of, ec2_log_key, run_log_key
from efs_backup.agent.pure.settings import Settings

_CLOUD_INIT = {"": "/var/log/cloud-init-output.log", "cloud-init": "/var/log/cloud-init.log"}
_RUN_LOGS = ("fpsync.log", "engine.log", "report.json", "entries.log")


def log_address(settings: Settings, began: float) -> str:
    """Return the address of the instance's log of a run."""
    key = ec2_log_key(settings.label, settings.mode, began)
    return address_of(settings.log_bucket, settings.region, settings.url_suffix, key)


def upload_logs(settings: Settings, instance: Instance, began: float) -> None:
    """Upload all logs of a run that there are; what cannot be uploaded is said, and fails nothing."""
    paths = {
        run_log_key(settings.label, settings.mode, began, name): f"{LOG_DIRECTORY}/{name}" for name in _RUN_LOGS
    } | {ec2_log_key(settings.label, settings.mode, began, what): path for what, path in _CLOUD_INIT.items()}
    for key, path in paths.items():
        if not os.path.exists(path) or not os.path.getsize(path):
            continue
        try:
            instance.aws.put_log(settings.log_bucket, key, path)
        except AwsError as error:
            say(str(error))
