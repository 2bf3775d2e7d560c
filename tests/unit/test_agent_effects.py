"""The agent's smaller tools, on what they are for: the metadata service, and the notes that its processes share."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from localcloud.metadata import MetadataServer, Tree

from efs_backup.agent.effects.metadata import Metadata, MetadataError
from efs_backup.agent.effects.notes import Notes

HOLD = """
import signal, sys
from efs_backup.agent.effects.notes import Notes
with Notes(sys.argv[1]).held() as free:
    print(free, flush=True)
    signal.pause()
"""


@contextmanager
def metadata_service(tree: Tree, port: int = 0) -> Iterator[int]:
    """A service of version 2 on a port of this machine."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    server = MetadataServer(listener, lambda: tree)
    try:
        yield listener.getsockname()[1]
    finally:
        server.close()


def test_metadata_are_read_with_a_token_that_is_renewed_when_it_is_no_longer_taken() -> None:
    tree = {"meta-data/instance-id": "i-1", "meta-data/spot/empty": ""}
    with metadata_service(tree) as port:
        metadata = Metadata(f"http://127.0.0.1:{port}/latest")
        assert metadata.get("instance-id") == "i-1"
        assert metadata.get("spot/instance-action") is None
        with pytest.raises(MetadataError, match="nothing at spot/instance-action"):
            metadata.need("spot/instance-action")
    with metadata_service({"meta-data/instance-id": "i-2"}, port):
        assert metadata.get("instance-id") == "i-2", "the new service knows no old token"
    with pytest.raises(MetadataError, match="does not answer at instance-id"):
        metadata.get("instance-id")


def test_a_proxy_of_the_environment_is_not_asked_for_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with metadata_service({"meta-data/instance-id": "i-1"}) as port:
        assert Metadata(f"http://127.0.0.1:{port}/latest").get("instance-id") == "i-1"


def test_one_agent_holds_the_lock_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path))
    assert notes.holder() is None
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None and agent.stdout.readline() == "True\n"
        assert notes.holder() == agent.pid
        with notes.held() as free:
            assert not free
        agent.send_signal(signal.SIGKILL)
        agent.wait()
    assert notes.holder() is None, "though its number is still written there"
    with notes.held() as free:
        assert free


def test_a_note_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path / "made"))
    assert notes.read("run") is None
    notes.write("run", {"backup_id": "daily-1", "began": 1.5})
    notes.write("run", {"backup_id": "daily-2", "began": 2.5})
    assert Notes(str(tmp_path / "made")).read("run") == {"backup_id": "daily-2", "began": 2.5}
    assert os.listdir(tmp_path / "made") == ["run.json"]
