"""`python -m efs_backup` and the console script `efs-backup`."""

from __future__ import annotations

from efs_backup.flow.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
