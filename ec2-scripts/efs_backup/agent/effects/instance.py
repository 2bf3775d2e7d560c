"""The instance that the agent runs on, and what it has to work with."""

from __future__ import annotations

from dataclasses import dataclass, field

from efs_backup.agent.effects.aws import Aws
from efs_backup.agent.effects.metadata import Metadata, MetadataError
from efs_backup.agent.effects.notes import Notes
from efs_backup.agent.effects.says import say


@dataclass(frozen=True, slots=True)
class Instance:
    """This instance: its id, type and zone, the services it talks to, and its notes."""

    id: str
    type: str
    zone: str | None
    aws: Aws
    metadata: Metadata
    notes: Notes = field(default_factory=Notes)

    @classmethod
    def this(cls, region: str) -> Instance:
        """Return the instance that this runs on; raise MetadataError if it cannot be told."""
        metadata = Metadata()
        zone = metadata.get("placement/availability-zone")
        return cls(metadata.need("instance-id"), metadata.need("instance-type"), zone, Aws(region), metadata)

    def sign(self, path: str) -> str | None:
        """Return what the metadata say at a path; None also if they say nothing just now."""
        try:
            return self.metadata.get(path)
        except MetadataError as error:
            say(str(error))
            return None
