"""Runs tests in children of a process that has imported Home Assistant already.

Importing it takes longer than most tests of one module: a child that begins with it is there at once. The
integration itself is imported by the child, so that it is the changed one.
"""

from contextlib import suppress
import json
import os
from pathlib import Path
import socket
import sys
from typing import Final

# What the tests import beside the integration, as far as it takes long.
_IMPORTED_BEFORE: Final = (
    "pytest_homeassistant_custom_component.plugins",  # which wants to come before the recorder
    "homeassistant.components.sensor.recorder",
    "homeassistant.components.zeroconf",
    "hypothesis",
)

# What is said of tests that do not end.
TOOK_TOO_LONG: Final = "the tests took too long"


def serve(path: str) -> None:
    """Answer every request at a Unix socket, a JSON list of pytest's arguments, with its exit status."""
    for module in _IMPORTED_BEFORE:
        __import__(module)
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        child = os.fork()
        if child == 0:
            server.close()
            _run(connection)
        connection.close()
        # Whoever asked has the answer, or is tired of waiting and has ended the child's group.
        os.waitpid(child, 0)


def _run(connection: socket.socket) -> None:
    """Run pytest as a process group of its own, whose id is told first, and tell its exit status."""
    import pytest  # noqa: PLC0415 (the requests of `ask` need none)

    os.setsid()
    connection.sendall(f"{os.getpid()}\n".encode())
    arguments = json.loads(connection.makefile().readline())
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    status = pytest.main(arguments)
    connection.sendall(f"{int(status)}\n".encode())
    os._exit(0)


def ask(path: str, arguments: list[str], seconds: float) -> int:
    """Return pytest's exit status; 124, as timeout(1), when it takes too long."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        answers = connection.makefile()
        child = int(answers.readline())
        connection.settimeout(seconds)
        connection.sendall(json.dumps(arguments).encode() + b"\n")
        try:
            return int(answers.readline() or 1)
        except TimeoutError:
            print(TOOK_TOO_LONG)
            return 124
        finally:
            # A child that is through has ended by itself, or is about to.
            with suppress(ProcessLookupError):
                os.killpg(child, 9)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        sys.path.insert(0, str(Path.cwd()))
        serve(sys.argv[2])
    sys.exit(ask(sys.argv[2], sys.argv[4:], float(sys.argv[3])))
