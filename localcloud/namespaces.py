"""An instance's namespaces, seen from the cloud's process: sockets inside its network, commands inside all of it."""

import ctypes
import os
import socket
import socketserver
import threading
from pathlib import Path

CLONE_NEWNET = 0x40000000
CHUNK = 65536
LIBC = ctypes.CDLL(None, use_errno=True)


def listen(pid: int, address: str, port: int) -> socket.socket:
    """Return a socket that listens inside the network namespace of process ``pid``.

    A socket belongs to the namespace it was made in, whoever uses it later. A thread enters the namespace for that
    moment and ends, so nothing else of this process is moved.

    Raises:
        OSError: the namespace cannot be entered, or the address is not there.
    """
    found: list[socket.socket | OSError] = []

    def enter() -> None:
        try:
            found.append(_listen_there(pid, address, port))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


def _listen_there(pid: int, address: str, port: int) -> socket.socket:
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.setns(namespace, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"the network of process {pid} cannot be entered")
    finally:
        os.close(namespace)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(64)
    return listener


def child_of(pid: int) -> int | None:
    """Return the first child of a process, or None if it has none yet."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


class Relay(socketserver.ThreadingTCPServer):
    """Passes every connection to ``listener`` on to a port of this machine's loopback interface."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, port: int) -> None:
        """Serve in a thread until closed."""
        self.port = port
        super().__init__(listener.getsockname(), RelayHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        threading.Thread(target=self.serve_forever, name="relay", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()


class RelayHandler(socketserver.BaseRequestHandler):
    """One connection of a relay."""

    server: Relay

    def handle(self) -> None:
        """Copy bytes both ways until both sides are done."""
        with socket.create_connection(("127.0.0.1", self.server.port)) as beyond:
            back = threading.Thread(target=_copy, args=(beyond, self.request), daemon=True)
            back.start()
            _copy(self.request, beyond)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one side went away: an instance was ended, or a client hung up
