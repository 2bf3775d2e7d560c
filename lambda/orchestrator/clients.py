"""How patient the clients of AWS services are."""

from botocore.config import Config

PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=3, read_timeout=10)
HASTY = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=2, read_timeout=3)
"""For what a backup can do without: sizes and metrics never hold it up."""
