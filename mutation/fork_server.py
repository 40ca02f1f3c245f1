"""Fork server that runs tests in child processes, with Home Assistant already imported.

Importing Home Assistant takes longer than most tests of one module. The child imports the integration itself,
so that it contains the mutant.
"""

from contextlib import suppress
import json
import os
from pathlib import Path
import socket
import sys
from typing import Final

# Modules whose import takes long.
_IMPORTED_BEFORE: Final = (
    "pytest_homeassistant_custom_component.plugins",  # has to be imported before the recorder
    "homeassistant.components.sensor.recorder",
    "homeassistant.components.zeroconf",
    "hypothesis",
)

# Output for tests that do not end.
TOOK_TOO_LONG: Final = "the tests took too long"


def serve(path: str) -> None:
    """Serve requests at a Unix socket. A request is a JSON list of arguments of pytest."""
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
        # The client has the response, or has killed the process group after a timeout.
        os.waitpid(child, 0)


def _run(connection: socket.socket) -> None:
    """Run pytest in its own process group. Send the id of the group, and then the exit status."""
    import pytest  # noqa: PLC0415 (`ask` does not need it)

    os.setsid()
    connection.sendall(f"{os.getpid()}\n".encode())
    arguments = json.loads(connection.makefile().readline())
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    status = pytest.main(arguments)
    connection.sendall(f"{int(status)}\n".encode())
    os._exit(0)


def ask(path: str, arguments: list[str], seconds: float) -> int:
    """Send a request. Return the exit status of pytest; 124 after a timeout, as timeout(1) does."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        replies = connection.makefile()
        child = int(replies.readline())
        connection.settimeout(seconds)
        connection.sendall(json.dumps(arguments).encode() + b"\n")
        try:
            return int(replies.readline() or 1)
        except TimeoutError:
            print(TOOK_TOO_LONG)
            return 124
        finally:
            # The child has ended, or ends soon.
            with suppress(ProcessLookupError):
                os.killpg(child, 9)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        sys.path.insert(0, str(Path.cwd()))
        serve(sys.argv[2])
    sys.exit(ask(sys.argv[2], sys.argv[4:], float(sys.argv[3])))
