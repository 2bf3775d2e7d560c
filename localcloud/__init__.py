"""The product on one machine: moto behind real HTTP, plus the behaviour of AWS that moto does not have.

A development and demonstration tool. What it simulates and what it leaves out: ``docs/localcloud.md``.
"""

from localcloud.client import (
    FileSystem,
    Instance,
    LocalCloud,
    LocalCloudError,
    Mail,
    ProblemsSeen,
    Stack,
    StackFailed,
)

__all__ = [
    "FileSystem",
    "Instance",
    "LocalCloud",
    "LocalCloudError",
    "Mail",
    "ProblemsSeen",
    "Stack",
    "StackFailed",
]
