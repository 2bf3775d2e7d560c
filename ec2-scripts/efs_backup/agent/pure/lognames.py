"""Where logs go in the bucket (the guide's Appendix B), and their addresses."""

from __future__ import annotations

from datetime import UTC, datetime

EC2_LOGS, BACKUP_LOGS, RESTORE_LOGS = "ec2-logs", "efs-backup-log", "efs-restore-logs"


def ec2_log_key(label: str, mode: str, began: float, what: str = "") -> str:
    """Return the key of the instance's log; ``what`` tells logs of one run apart."""
    return f"{EC2_LOGS}/{_name(label, mode, began, what)}.log"


def run_log_key(label: str, mode: str, began: float, file: str) -> str:
    """Return the key of a log of the backup's or restore's own work, which is ``file`` on the instance."""
    prefix = RESTORE_LOGS if mode == "restore" else BACKUP_LOGS
    return f"{prefix}/{_name(label, mode, began, file)}"


def address_of(bucket: str, region: str, url_suffix: str, key: str) -> str:
    """Return the address of an object in a bucket, for the table and the mails."""
    return f"https://{bucket}.s3.{region}.{url_suffix}/{key}"


def _name(label: str, mode: str, began: float, what: str) -> str:
    stamp = datetime.fromtimestamp(began, UTC).strftime("%Y%m%d-%H%M%S")
    return "-".join(part for part in (label, mode, stamp, what) if part)
