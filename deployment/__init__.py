"""Builds the release, publishes it, and launches and drives stacks from the command line.

``python -m deployment --help``; what each command does and promises: ``docs/release.md``.
"""
