"""A stored installation: files of Home Assistant, statistics of its recorder, and states of the readers."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
import json
from pathlib import Path
from typing import Any, Final

import aiohttp
from homeassistant.components.recorder.db_schema import SCHEMA_VERSION, Base
from homeassistant.helpers.json import JSONEncoder
import sqlalchemy

from ..simulators import House
from ..simulators.port import ReservedPort
from ..time_machine import TimeMachine
from .home import Home, make_currentlyone, make_whatwatt

# Placeholder for 127.0.0.1 and a port, which differs in every run.
WHATWATT: Final = "whatwatt.invalid"
CURRENTLYONE: Final = "currentlyone.invalid"
ENTERED: Final = "entered.invalid"

# Files of Home Assistant, beside those of the integration.
FILES: Final = (
    "core.config_entries",
    "core.device_registry",
    "core.entity_registry",
    "core.restore_state",
    "repairs.issue_registry",
)

_REGISTERS: Final = ("active_import", "active_export", "reactive_import", "reactive_export")

# Unused columns, and row ids to which no other table refers.
_IGNORED_COLUMNS: Final = ("id", "created", "start", "last_reset")


async def restore(folder: Path, config: Path, time_machine: TimeMachine) -> Home:
    """Return a home with a copy of the installation in a folder. Its readers are on the network."""
    stored = json.loads((folder / "readers.json").read_text())
    clock = datetime.fromisoformat(stored["clock"])
    whatwatt, currentlyone = make_whatwatt(clock), make_currentlyone(clock)
    _restore(whatwatt.house, stored["whatwatt"])
    _restore(currentlyone.house, stored["currentlyone"])
    whatwatt.sub_meters = stored["sub_meters"]
    currentlyone.recording = (folder / "currentlyone.sse").read_bytes()
    home = Home(config, whatwatt, currentlyone, ReservedPort("127.0.0.1"), time_machine)
    home.origin = folder
    await whatwatt.start()
    await currentlyone.start()
    load_files(folder / "storage", config / ".storage", addresses(home))
    load_statistics(folder / "statistics.json", config / "home-assistant.db")
    return home


def addresses(home: Home) -> dict[str, str]:
    """Return the address that each stored one stands for."""
    return {
        WHATWATT: home.whatwatt.host,
        CURRENTLYONE: home.currentlyone.host,
        ENTERED: f"127.0.0.1:{home.entered.number}",
    }


async def save_readers(home: Home, folder: Path) -> None:
    """Store the state of the readers, and the events that the CurrentlyOne repeats."""
    whatwatt, currentlyone = home.whatwatt, home.currentlyone
    stored = {
        "clock": currentlyone.house.clock.isoformat(),
        "whatwatt": _state_of(whatwatt.house),
        "currentlyone": _state_of(currentlyone.house),
        "sub_meters": whatwatt.sub_meters,
    }
    (folder / "readers.json").write_text(f"{json.dumps(stored, indent=1)}\n")
    async with aiohttp.ClientSession() as session, session.get(f"http://{currentlyone.host}/events") as got:
        currentlyone.end_streams()
        (folder / "currentlyone.sse").write_bytes(await got.read())


def _state_of(house: House) -> dict[str, Any]:
    return {key: getattr(house, key) for key in _REGISTERS} | {
        "appliances": {each.id: [each.state.name, each.energy] for each in house.appliances}
    }


def _restore(house: House, stored: Mapping[str, Any]) -> None:
    house.active_import, house.active_export = (
        {int(tariff): value for tariff, value in stored[key].items()}
        for key in ("active_import", "active_export")
    )
    house.reactive_import, house.reactive_export = stored["reactive_import"], stored["reactive_export"]
    for appliance in house.appliances:
        state, appliance.energy = stored["appliances"][appliance.id]
        house.switch(appliance.id, state)


# ------------------------------------------------------------------------------------- observed states


async def observe(home: Home) -> dict[str, Any]:
    """Start Home Assistant twice. Return its states, events and statistics, JSON serializable.

    The hour of the start ends before the second start.
    """
    began = home.now
    seen: dict[str, Any] = {}
    await home.start()
    # By then, the states of all repeated messages are written. No new reading has arrived.
    await home.run_until(began + timedelta(seconds=15))
    seen["start"] = home.shown()
    await home.run_until(began + timedelta(minutes=11))
    seen["interval"] = home.shown()
    await home.currentlyone.switch("mocca_mast", "on")
    await home.run_until(began + timedelta(minutes=46))
    seen["next hour"] = home.shown()
    seen["statistics"] = await home.statistics(began - timedelta(hours=2))
    seen["events"] = home.fired
    await home.stop()
    # From now on, the reader repeats the events that it has sent since the first start.
    home.currentlyone.recording = None
    await home.run_until(began + timedelta(minutes=48))
    await home.start()
    await home.run_until(began + timedelta(minutes=48, seconds=15))
    seen["second start"] = home.shown()
    await home.run_until(began + timedelta(minutes=51))
    seen["end"] = home.shown()
    seen["events"] += home.fired
    seen["options"] = {unique_id: await home.options(unique_id) for unique_id in home.entries}
    as_json: dict[str, Any] = json.loads(json.dumps(seen, cls=JSONEncoder))
    return as_json


# ------------------------------------------------------------------------------- files of Home Assistant


def save_files(home: Home, folder: Path) -> None:
    """Store the files of a home, with a placeholder for each address."""
    for path in sorted((home.folder / ".storage").iterdir()):
        if path.name not in FILES and not path.name.startswith("energy_sse."):
            continue
        text = "\n".join(lines_of(json.loads(path.read_text())))
        for placeholder, host in addresses(home).items():
            text = text.replace(host, placeholder)
        (folder / path.name).write_text(f"{text}\n")


def load_files(folder: Path, storage: Path, placeholders: Mapping[str, str]) -> None:
    """Write the stored files into a `.storage`, with the addresses of this run."""
    storage.mkdir(parents=True)
    for path in folder.iterdir():
        text = path.read_text()
        for placeholder, host in placeholders.items():
            text = text.replace(placeholder, host)
        (storage / path.name).write_text(text)


def lines_of(data: Any, depth: int = 3) -> Iterator[str]:
    """Yield lines of JSON. Items below a depth have one line each."""
    if not depth or not data or not isinstance(data, dict | list):
        yield json.dumps(data, separators=(",", ":"))
        return
    if isinstance(data, dict):
        brackets, items = "{}", [(f"{json.dumps(key)}:", value) for key, value in data.items()]
    else:
        brackets, items = "[]", [("", value) for value in data]
    yield brackets[0]
    for number, (key, value) in enumerate(items, 1):
        *lines, last = lines_of(value, depth - 1)
        lines.append(last if number == len(items) else f"{last},")
        yield key + lines[0]
        yield from lines[1:]
    yield brackets[1]


# --------------------------------------------------------------------------- statistics of the recorder


def save_statistics(home: Home, path: Path, since: datetime) -> None:
    """Store the hours of all sums and of the net powers, and their five minutes since a time."""
    engine = sqlalchemy.create_engine(f"sqlite:///{home.folder}/home-assistant.db")
    with engine.connect() as connection:
        select = "SELECT * FROM"
        metadata = [
            dict(row)
            for row in connection.execute(sqlalchemy.text(f"{select} statistics_meta")).mappings()
            if row["has_sum"] or row["statistic_id"].endswith("_net_power")
        ]
        names = {row["id"]: row["statistic_id"] for row in metadata}
        last_run = connection.execute(sqlalchemy.text("SELECT MAX(start) FROM statistics_runs")).scalar()
        stored: dict[str, Any] = {
            "metadata": [_without_none(row) for row in metadata],
            "last_run": last_run,
        }
        for table, begin in (("statistics", 0.0), ("statistics_short_term", since.timestamp())):
            query = sqlalchemy.text(f"{select} {table} WHERE start_ts >= :begin ORDER BY start_ts")
            rows = connection.execute(query, {"begin": begin}).mappings()
            stored[table] = {name: [] for name in names.values()}
            for row in rows:
                if name := names.get(row["metadata_id"]):
                    kept = {key: row[key] for key in row if key != "metadata_id"}
                    stored[table][name].append(_without_none(kept))
    engine.dispose()
    path.write_text("\n".join(lines_of(stored)) + "\n")


def _without_none(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in row if row[key] is not None and key not in _IGNORED_COLUMNS}


def load_statistics(path: Path, database: Path) -> None:
    """Make a database with the stored statistics."""
    stored = json.loads(path.read_text())
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    Base.metadata.create_all(engine)
    tables = Base.metadata.tables
    with engine.begin() as connection:
        connection.execute(
            tables["schema_changes"].insert(),
            {"schema_version": SCHEMA_VERSION, "changed": datetime.fromisoformat(stored["last_run"])},
        )
        connection.execute(
            tables["statistics_runs"].insert(), {"start": datetime.fromisoformat(stored["last_run"])}
        )
        for number, metadata in enumerate(stored["metadata"], 1):
            connection.execute(tables["statistics_meta"].insert(), {"id": number, **metadata})
            for table in ("statistics", "statistics_short_term"):
                rows = stored[table][metadata["statistic_id"]]
                for row in rows:
                    connection.execute(tables[table].insert(), {"metadata_id": number, **row})
    engine.dispose()
