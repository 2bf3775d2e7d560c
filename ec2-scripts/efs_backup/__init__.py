"""efs-backup: exact, browsable, verified snapshots of a directory tree on another file system."""

__version__ = "2.0.0"
