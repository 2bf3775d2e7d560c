"""The tables of the widget: snapshots, and backups that did not succeed. Pure."""

from __future__ import annotations

import readable as words
from widget.config import Settings
from widget.history import SKIPPED, Backup
from widget.markup import EMPTY, Markup, join, tag
from widget.summary import BAD, NEUTRAL, Known, Row, failures, rows

HEADINGS = ("Snapshot", "Finished (UTC)", "Status", "Files", "Size", "Took", "Copied", "Cost", "", "")
NUMBERS = frozenset({"Files", "Size", "Took", "Copied"})


def snapshots_table(settings: Settings, known: Known) -> Markup:
    """Return the snapshots, each with a link that restores it and one to its log."""
    shown = rows(known)
    if not shown:
        return EMPTY
    heads = [tag("th", name, class_="eb-number" if name in NUMBERS else None) for name in HEADINGS]
    body = [_row(settings, row, known) for row in shown]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return join([tag("h3", f"Snapshots ({len(shown)})"), tag("div", table, class_="eb-scroll")])


def _row(settings: Settings, row: Row, known: Known) -> Markup:
    snapshot, level = row.snapshot, row.status
    name = join(
        [tag("b", f"{settings.interval}.{snapshot.number}"), " ", tag("span", snapshot.id, class_="eb-id", title="id")]
    )
    link = settings.restore.to(snapshot.id, snapshot.number, confirmed=known.confirmed)
    copied = words.size(row.backup.bytes_transferred) if row.backup else words.UNKNOWN
    cells = [
        tag("td", name),
        tag("td", words.time(snapshot.finished), title=words.ago(snapshot.finished, known.now)),
        tag("td", _pill(*level)),
        *(
            tag("td", text, class_="eb-number")
            for text in (words.count(snapshot.files), words.size(snapshot.bytes), words.duration(row.seconds), copied)
        ),
        tag("td", _short(row.cost or words.UNKNOWN), title=row.cost),
        tag("td", tag("a", "Restore…", href=link, target="_blank", rel="noopener")),
        tag("td", _log(settings, row.backup)),
    ]
    return tag("tr", *cells)


def _pill(level: str, text: str) -> Markup:
    return tag("span", text, class_=f"eb-pill eb-{level}")


def _short(cost: str) -> str:
    """The cost of the run alone; the cell's title has all of it."""
    return cost.partition(",")[0]


def _log(settings: Settings, backup: Backup | None) -> Markup:
    """The link to a backup's log: to the object that its item names, else to all logs of instances."""
    if backup is None:
        return EMPTY
    console = settings.restore.console
    host, _, key = (backup.log or "").removeprefix("https://").partition("/")
    if key and host.startswith(f"{settings.log_bucket}."):
        link = console.log(settings.log_bucket, key)
    else:
        link = console.logs(settings.log_bucket, "ec2-logs/")
    return tag("a", "Log", href=link, target="_blank", rel="noopener")


def failures_table(settings: Settings, known: Known) -> Markup:
    """Return the backups of late that did not succeed; nothing if all did."""
    late = failures(known)
    if not late:
        return EMPTY
    heads = [tag("th", name) for name in ("Started (UTC)", "Status", "Backup", "")]
    body = [
        tag(
            "tr",
            tag("td", words.time(backup.started)),
            tag("td", _pill(NEUTRAL if backup.status == SKIPPED else BAD, backup.status or "")),
            tag("td", tag("span", backup.id, class_="eb-id")),
            tag("td", _log(settings, backup)),
        )
        for backup in late
    ]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return join([tag("h3", "Backups that did not succeed of late"), tag("div", table, class_="eb-scroll")])
