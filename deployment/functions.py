"""The archives of the Lambda functions: each the function's package and the modules that it imports, nothing else.

boto3 and botocore are in the Lambda runtime.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from deployment.archives import Entry, read_entry, zipped
from deployment.release import PROJECT

FUNCTIONS = PROJECT / "lambda"


def function_names() -> list[str]:
    """Return the functions, by the names of their packages and archives."""
    return sorted(path.parent.name for path in FUNCTIONS.glob("*/handler.py"))


def function_zip(name: str) -> bytes:
    """Return the archive of a function."""
    return zipped(_entries(name))


def _entries(name: str) -> Iterator[Entry]:
    for path in sorted(_needed(name)):
        yield read_entry(path, path.relative_to(FUNCTIONS).as_posix())


def _needed(package: str) -> set[Path]:
    """Return the modules of a package, and of what it imports from beside it."""
    needed: set[Path] = set()
    wanted = [package]
    while wanted:
        found = set(_modules(wanted.pop())) - needed
        needed |= found
        wanted += [name for path in found for name in _imported(path) if list(_modules(name))]
    return needed


def _modules(name: str) -> Iterator[Path]:
    """Yield the modules of a package or module of ours; of a foreign one there are none."""
    if (module := FUNCTIONS / f"{name}.py").exists():
        yield module
    yield from (FUNCTIONS / name).glob("**/*.py")


def _imported(path: Path) -> set[str]:
    """Return the top names of what a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}
