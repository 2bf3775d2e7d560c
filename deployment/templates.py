"""The templates of a release: the names and the agent's checksum filled in."""

from __future__ import annotations

import re

from deployment.errors import DeploymentError
from deployment.release import PROJECT, Release

TOKEN = re.compile(r"%%[A-Z0-9_]*%%")


def filled_in(text: str, release: Release, agent_sha256: str) -> str:
    """Return a template's text with every token replaced.

    Raises:
        DeploymentError: it has one that no release fills in.
    """
    for token, value in {**release.tokens, "%%AGENT_SHA256%%": agent_sha256}.items():
        text = text.replace(token, value)
    if left := TOKEN.search(text):
        raise DeploymentError(f"the template has the token {left[0]}, which no release fills in")
    return text


def release_template(name: str, release: Release, agent_sha256: str) -> str:
    """Return one of the two templates as a release has it."""
    return filled_in((PROJECT / "templates" / name).read_text(encoding="utf-8"), release, agent_sha256)
