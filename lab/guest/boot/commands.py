"""Systems Manager's agent on the instance: runs the shell scripts that the cloud sends. ``commands.py PORT``."""

import json
import socketserver
import subprocess
import sys


class Handler(socketserver.StreamRequestHandler):
    """One command: a line of JSON comes (script, seconds, directory), a line of JSON goes (status, output, errors)."""

    def handle(self) -> None:
        """Run it as root; one that takes too long exits with 124."""
        asked = json.loads(self.rfile.readline())
        command = ["timeout", str(asked["seconds"]), "sh", "-c", asked["script"]]
        done = subprocess.run(
            command, cwd=asked["directory"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        answer = {
            "status": done.returncode,
            "output": done.stdout.decode("utf-8", "replace"),
            "errors": done.stderr.decode("utf-8", "replace"),
        }
        self.wfile.write(json.dumps(answer).encode() + b"\n")


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Handler).serve_forever()
