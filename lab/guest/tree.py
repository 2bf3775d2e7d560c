"""A source tree and what a night does to it: the same for every tool, decided by a seed alone.

usage: tree.py create DIRECTORY --files N
       tree.py night DIRECTORY --number K --rate R
       tree.py damage DIRECTORY
"""

import argparse
import os
import random
from pathlib import Path

SEED = 2019
FILES_PER_TOP = 250
SUBDIRECTORIES = 5
EPOCH = 1_700_000_000
DAY = 86_400


def directories(files: int) -> list[str]:
    """Return the relative paths of a tree's directories: for 5,000 files 121 of them with the root, in three levels."""
    tops = [f"d{top:03}" for top in range(max(1, files // FILES_PER_TOP))]
    return ["."] + [path for top in tops for path in (top, *(f"{top}/s{sub}" for sub in range(SUBDIRECTORIES)))]


def size(chance: random.Random) -> int:
    """Return a file's size in bytes: mostly a few KiB, some up to 64 KiB, as home and web trees have."""
    return chance.randrange(65_536) if chance.random() < 0.1 else chance.randrange(8_192)


def write(path: Path, key: str, day: int) -> None:
    """Write the content that belongs to `key`, with a modification time on `day` down to the nanosecond."""
    chance = random.Random(f"{SEED} {key}")  # noqa: S311 the same tree for all
    path.write_bytes(chance.randbytes(size(chance)))
    when = (EPOCH + day * DAY) * 1_000_000_000 + chance.randrange(DAY * 1_000_000_000)
    os.utime(path, ns=(when, when))


def create(root: Path, files: int) -> None:
    """Make a tree of `files` files."""
    places = directories(files)
    for place in places:
        (root / place).mkdir(parents=True, exist_ok=True)
    for number in range(files):
        name = f"{places[number % len(places)]}/file{number:06}"
        write(root / name, name, 0)


def present(root: Path) -> list[list[Path]]:
    """Return the directories and the files under `root`, each sorted by the names their paths are made of."""
    directories, files = [str(root)], []
    for directory, below, names in os.walk(root):
        directories += [f"{directory}/{name}" for name in below]
        files += [f"{directory}/{name}" for name in names]
    return [[Path(path) for path in sorted(found, key=lambda path: path.split("/"))] for found in (directories, files)]


def changes(files: int, rate: float) -> tuple[int, int, int, int]:
    """Return how many of a tree's files a night changes, adds, removes and gives another mode."""
    changed, added, removed, modes = (round(files * rate * part) for part in (1, 0.5, 0.5, 0.25))
    return changed, added, removed, modes


def night(root: Path, number: int, rate: float) -> None:
    """Change `rate` of the files, add and remove half as many, and set the mode of a quarter as many."""
    chance = random.Random(f"{SEED} night {number}")  # noqa: S311 the same tree for all
    places, files = present(root)
    changed, added, removed, modes = changes(len(files), rate)
    chosen = chance.sample(files, changed + removed + modes)
    for path in chosen[:changed]:
        write(path, f"{path.relative_to(root)} {number}", number)
    for path in chosen[changed : changed + removed]:
        path.unlink()
    for path in chosen[changed + removed :]:
        path.chmod(0o600 if path.stat().st_mode & 0o044 else 0o644)
    for index in range(added):
        path = chance.choice(places) / f"night{number:02}-{index:04}"
        write(path, str(path.relative_to(root)), number)


def damage(root: Path) -> None:
    """Spoil one directory as a mishap would: every second file gone, the others overwritten."""
    for index, path in enumerate(present(root)[1]):
        if index % 2:
            path.unlink()
        else:
            write(path, f"{path.name} damaged", 400)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("create", "night", "damage"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--files", type=int, default=0)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    match options.verb:
        case "create":
            create(options.directory, options.files)
        case "night":
            night(options.directory, options.number, options.rate)
        case "damage":
            damage(options.directory)


if __name__ == "__main__":
    main()
