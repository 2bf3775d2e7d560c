"""What README and guide give as examples of the command works as it stands; test_terminal.py does that for the help."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from tests.support.changes import content
from tests.support.command import DONE, REPOSITORY, Pair, run
from tests.support.zoo import write

EXAMPLE = re.compile(r"^\s*(?:\$ )?(efs-backup (?:backup|list|verify|restore) [^\[\n]*)$", re.M)
CHAPTER = "home/ann/thesis/chapter-3.tex"


def examples() -> list[str]:
    """The commands, each once; those with a word that stands for something are no examples."""
    pages = [Path(REPOSITORY, name).read_text(encoding="utf-8") for name in ("README.md", "docs/guide.md")]
    found = [" ".join(line.split()) for page in pages for line in EXAMPLE.findall(page)]
    return [line for line in dict.fromkeys(found) if "DIR" not in line and "…" not in line]


@pytest.fixture
def home(pair: Pair) -> Pair:
    """What the examples speak of: two nights of a source with a home directory, in which a file was damaged since."""
    write(f"{pair.source}/{CHAPTER}", content(3, 5000))
    write(f"{pair.source}/home/bob/notes", b"notes")
    for _ in range(2):
        pair.back_up()
    write(f"{pair.source}/{CHAPTER}", b"damaged")
    return pair


def test_there_are_examples_of_every_verb() -> None:
    assert {line.split()[1] for line in examples()} == {"backup", "list", "verify", "restore"}


@pytest.mark.parametrize("line", examples())
def test_an_example_works(line: str, home: Pair) -> None:
    places = {"/mnt/source": home.source, "/mnt/backup": home.backup}
    words = [re.sub("^/mnt/(source|backup)", lambda found: places[found[0]], word) for word in shlex.split(line)[1:]]
    run(*words).expect(DONE)
    brought_back = words[0] == "restore" and "--dry-run" not in words
    where = f"{home.source}/restored" if "--to" in words else home.source
    assert os.path.getsize(f"{where}/{CHAPTER}") == (5000 if brought_back else len(b"damaged"))
