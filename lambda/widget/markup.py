"""Makes HTML in which all text is escaped. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is HTML already; every other text is escaped when it is put into a tag."""

    __slots__ = ()


EMPTY = Markup("")
VOID = frozenset({"rect", "line", "circle", "path"})
"""Elements that are written without content when they have none."""


def tag(name: str, *content: str, **attributes: str | float | None) -> Markup:
    """Return an element. ``class_`` is the attribute class, ``_`` a hyphen; an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(content)
    return Markup(f"<{name}{given}/>" if name in VOID and not inner else f"<{name}{given}>{inner}</{name}>")


def join(content: Iterable[str]) -> Markup:
    """Return all of it one after the other, text escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part, quote=False) for part in content))


def _plain(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
