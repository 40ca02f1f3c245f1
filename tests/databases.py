"""Database servers for the recorder.

They are packages of the distribution, installed or unpacked by `scripts/setup databases`. They listen only on
this machine, and keep their data in a folder of the test.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import signal
import subprocess
import time

from freezegun import api as freezegun_api
from pymysql import converters
import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

UNPACKED = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "energy_sse" / "databases"

# Seconds. A server starts within two seconds.
_START_TIMEOUT = 60


class NotInstalledError(Exception):
    """The server is not installed."""


class Server:
    """A running server."""

    def __init__(self, url: str, query: str, database: str) -> None:
        """Use the server at a URL. `database` exists, and is used for administration."""
        self._url = url
        self._query = query
        self._administration = sqlalchemy.create_engine(
            f"{url}/{database}?{query}", isolation_level="AUTOCOMMIT"
        )

    def wait_until_started(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the server has started."""
        end = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                with self._administration.connect():
                    return
            except OperationalError:
                if process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def create_database(self, name: str) -> str:
        """Create a database. Return its URL."""
        is_mariadb = self._url.startswith("mysql")
        with self._administration.connect() as connection:
            connection.exec_driver_sql(
                f"CREATE DATABASE {name}" + (" CHARACTER SET utf8mb4" if is_mariadb else "")
            )
        self._administration.dispose()
        return f"{self._url}/{name}?{self._query}"


@contextmanager
def run_postgresql(folder: Path) -> Iterator[Server]:
    """Run a PostgreSQL server. Raises NotInstalledError."""
    programs = [
        program
        for root in ("/", UNPACKED)
        for program in Path(root).glob("usr/lib/postgresql/*/bin/postgres")
    ]
    if not programs:
        raise NotInstalledError("PostgreSQL")
    program = max(programs, key=lambda path: int(path.parts[-3]))
    # PostgreSQL does not run as root. In a user namespace, root has another id.
    prefix = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []
    data = folder / "postgresql"
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    initdb = [*prefix, str(program.with_name("initdb")), f"--pgdata={data}", *options]
    subprocess.run(initdb, env=_environment(), stdout=subprocess.DEVNULL, check=True)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "fsync": "off",
        "synchronous_commit": "off",
    }
    options = [f"--{key}={value}" for key, value in settings.items()]
    command = [*prefix, str(program), "-D", str(data), *options]
    with _running(command, Server("postgresql://postgres@", f"host={folder}", "postgres")) as server:
        yield server


@contextmanager
def run_mariadb(folder: Path) -> Iterator[Server]:
    """Run a MariaDB server. Raises NotInstalledError."""
    program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin:{UNPACKED / 'usr/sbin'}")
    if program is None:
        raise NotInstalledError("MariaDB")
    # The driver selects by the exact type, which differs while the clock is frozen.
    converters.conversions[freezegun_api.FakeDatetime] = converters.escape_datetime
    data, port = folder / "mariadb", _private_port()
    data.mkdir()
    settings = {
        "basedir": Path(program).parents[1],
        "datadir": data,
        "socket": folder / "mariadb.sock",
        "pid-file": folder / "mariadb.pid",
        "bind-address": "127.0.0.1",
        "port": port,
        "innodb-flush-log-at-trx-commit": 0,
        **({"user": "root"} if os.geteuid() == 0 else {}),
    }
    # Without grants, the server does not need system tables.
    switches = ["--no-defaults", "--skip-grant-tables", "--skip-networking=0"]
    command = [program, *switches, *(f"--{key}={value}" for key, value in settings.items())]
    url = f"mysql+pymysql://root@127.0.0.1:{port}"
    with _running(command, Server(url, "charset=utf8mb4", "information_schema")) as server:
        yield server


SERVERS = {"PostgreSQL": run_postgresql, "MariaDB": run_mariadb}

SQLITE = "SQLite"


def marks_of_each(*, weekly: bool) -> dict[str, list[pytest.MarkDecorator]]:
    """Return the marks of a test on each database. On servers, a `weekly` test runs only once a week."""
    server = [pytest.mark.server, *([pytest.mark.weekly] if weekly else [])]
    return {SQLITE: [], **dict.fromkeys(SERVERS, server)}


def _on_each(*, weekly: bool) -> pytest.MarkDecorator:
    marks = marks_of_each(weekly=weekly)
    names = [pytest.param(name, marks=marks_of_one) for name, marks_of_one in marks.items()]
    return pytest.mark.parametrize("database", names, indirect=True)


on_each = _on_each(weekly=False)
on_each_weekly = _on_each(weekly=True)


@contextmanager
def _running(command: Sequence[str], server: Server) -> Iterator[Server]:
    process = subprocess.Popen(
        command, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        server.wait_until_started(process)
        yield server
    finally:
        # Both servers stop at once, even with open connections.
        process.send_signal(signal.SIGQUIT)
        process.wait()


def _environment() -> Mapping[str, str]:
    libraries = ":".join(str(folder) for folder in UNPACKED.glob("usr/lib/*-linux-gnu"))
    return {**os.environ, "LD_LIBRARY_PATH": libraries}


def _private_port() -> int:
    """Return a port outside the range of random ports, which no other process of the test run uses."""
    return 20_000 + os.getpid() % 10_000
