"""Launch links: addresses that open the form of a new stack, for each region and both templates. Pure.

CloudFormation user guide, "Create quick-create links".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from deployment.errors import DeploymentError
from deployment.release import BACKUP, RESTORE, Release

BEGIN = "<!-- launch links: written by make publish -->"
END = "<!-- end of the launch links -->"
STACKS = {BACKUP: "efs-backup", RESTORE: "efs-restore"}
"""What the form proposes as the stack's name."""


@dataclass(frozen=True)
class Partition:
    """What addresses look like in a partition: the console's host, and the end of its services' names."""

    console: str
    suffix: str


@dataclass(frozen=True)
class Region:
    """A region in its partition."""

    name: str
    partition: Partition

    @property
    def console(self) -> str:
        """The start of its console's addresses."""
        return f"https://{self.name}.{self.partition.console}"


def template_url(release: Release, region: Region, template: str) -> str:
    """Return where a template of a published release lies."""
    bucket = release.bucket_in(region.name)
    return f"https://{bucket}.s3.{region.name}.{region.partition.suffix}/{release.key(template)}"


def launch_link(release: Release, region: Region, template: str, parameters: Mapping[str, str] | None = None) -> str:
    """Return the link that opens the form of a new stack; parameters that it does not give have their defaults."""
    fields = {"templateURL": template_url(release, region, template), "stackName": STACKS[template]}
    fields |= {f"param_{name}": value for name, value in (parameters or {}).items()}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in fields.items())
    return f"{region.console}/cloudformation/home?region={region.name}#/stacks/create/review?{query}"


def buttons(release: Release, regions: list[Region]) -> str:
    """Return the table of launch buttons for the README."""
    lines = [f"Version {release.version}:", "", "| region | back up | restore |", "|---|---|---|"]
    for region in regions:
        cells = (
            f"[![Launch {what}](docs/images/launch-{what}.svg)]({launch_link(release, region, template)})"
            for what, template in (("backup", BACKUP), ("restore", RESTORE))
        )
        lines.append(f"| {region.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_buttons(readme: str, table: str) -> str:
    """Return the README's text with the table between its markers.

    Raises:
        DeploymentError: it has no markers.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DeploymentError(f"the README has no lines {BEGIN} and {END}: the launch buttons go between them")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
