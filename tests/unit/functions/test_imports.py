"""Functions are cold when they are imported: no client, no call, and nothing that one invocation leaves to the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LAMBDA = Path(__file__).parents[3] / "lambda"

CHECK = """
import sys
import boto3

def refuse(*_, **__):
    raise SystemExit("a client was made at import")

boto3.client = boto3.resource = boto3.Session = refuse
import {module}

ours = [m for name, m in sys.modules.items() if getattr(m, "__file__", None) and m.__file__.startswith({root!r})]
for module in ours:
    for name, value in vars(module).items():
        if isinstance(value, (list, set, bytearray)) and not name.startswith("__"):
            raise SystemExit(f"{{module.__name__}}.{{name}} could keep something from one invocation to the next")
"""


@pytest.mark.parametrize(
    "module",
    ["orchestrator.handler", "orchestrator.restore", "solution_helper.handler", "ami_info.handler", "widget.handler"],
)
def test_a_function_is_cold_when_it_is_imported(module: str) -> None:
    script = CHECK.format(module=module, root=str(LAMBDA))
    ran = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(LAMBDA)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
