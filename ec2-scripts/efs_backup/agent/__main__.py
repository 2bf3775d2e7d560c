"""`python -m efs_backup.agent`: what boot.sh and ssm.sh start."""

from __future__ import annotations

from efs_backup.agent.flow.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
