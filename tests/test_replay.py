"""From a reader to a recording, and back: the round trip of a report."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from http import HTTPStatus
import json
import logging
from pathlib import Path
from resource import RLIMIT_DATA, setrlimit
import socket
import subprocess
import sys
from types import FunctionType

from homeassistant.core import HomeAssistant
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.reader import connection

from .conftest import Start
from .error_injection import ErrorInjector, functions_of
from .home_assistant import set_up, settle, tick
from .logs import logged_messages
from .pseudonyms import assert_absent
from .replay_result import Observer, run_replay
from .simulators import CurrentlyOneSimulator, House, WhatwattSimulator
from .simulators.__main__ import main
from .simulators.house import Appliance, State
from .simulators.recordings import SIZE_LIMIT, Kind, RecordingError, read, read_all
from .simulators.replay import ReplayedReader
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.slow(
    "reader/*", "diagnostics.py", "demo/*", "tests/simulators/*", "tests/replay_result.py"
)

OURS = "custom_components.energy_sse"

type Reader = WhatwattSimulator | CurrentlyOneSimulator

STRANGE = [
    'newest\r\ndata: {"id":"omas_brygg","owner":"Segreta","omas_brygg":{"W":5}}',
    "newest\r\ndata: Casa Segreta",
    'state\r\ndata: {"name":"Casa Segre',
    'live\r\ndata: {"P_In":nan,"PF":0.5,"M_ID":"2000',
    "log\r\ndata: Casa Segreta at 192.168.1.122",
]


@pytest.fixture(autouse=True)
def _everything_at_once(every_entity_enabled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)


@pytest.fixture
async def second_hass(hass: HomeAssistant) -> AsyncGenerator[HomeAssistant]:
    """Return a Home Assistant that has never seen a reader."""
    async with async_test_home_assistant() as other:
        other.data.pop(DATA_CUSTOM_COMPONENTS, None)
        yield other
        await other.async_stop(force=True)


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    """Take back what a test makes louder; Home Assistant's *logger* leaves it to all tests that follow."""
    yield
    logger = logging.getLogger(OURS)
    getattr(logger, "orig_setLevel", logger.setLevel)(logging.NOTSET)


async def press_enable_debug_logging(hass: HomeAssistant, level: str = "debug") -> None:
    assert await async_setup_component(hass, "logger", {})
    await hass.services.async_call("logger", "set_level", {OURS: level}, blocking=True)


def download_log(caplog: pytest.LogCaptureFixture, path: Path) -> Path:
    """Write the log as Home Assistant does."""
    with path.open("w") as file:
        for record in caplog.records:
            time = f"{datetime.fromtimestamp(record.created).astimezone():%Y-%m-%d %H:%M:%S}"
            head = f"{time}.{record.msecs:03.0f} {record.levelname} ({record.threadName}) [{record.name}]"
            file.write(f"{head} {record.getMessage()}\n")
    return path


def secrets_of(reader: Reader) -> list[str]:
    """Return every secret and identity that a simulated reader knows."""
    return ["Segre", *reader.secrets()]


async def be_strange(reader: Reader) -> None:
    for event in STRANGE:
        await reader.broadcast(f"event: {event}\r\n\r\n".encode())


async def live_with_whatwatt(hass: HomeAssistant, reader: WhatwattSimulator) -> MockConfigEntry:
    reader.sub_meters = {"20000741": 123.45, "80123456": None}
    entry = await set_up(hass, reader)
    await tick(hass, reader)
    await be_strange(reader)
    reader.sub_meters["20000741"] = 124.5
    await tick(hass, reader)
    reader.end_streams()
    await wait_until(lambda: reader.streams)
    await tick(hass, reader)
    return entry


async def live_with_currentlyone(hass: HomeAssistant, reader: CurrentlyOneSimulator) -> MockConfigEntry:
    await reader.tick(3600)
    entry = await set_up(hass, reader)
    await tick(hass, reader)
    for state in ("bryggar", "off"):
        await reader.switch("omas_brygg", state)
        await settle(hass, entry, reader)
    await be_strange(reader)
    for state in ("sköljer", "värmer"):
        await reader.switch("annas_disk", state)
        await settle(hass, entry, reader)
    reader.end_streams()
    await wait_until(lambda: reader.streams)
    await reader.switch("annas_disk", "off")
    await settle(hass, entry, reader)
    return entry


def appliances_with_names() -> list[Appliance]:
    """Return appliances whose owner has named everything in their own words."""
    off = State("off", 0, is_on=False)
    brewing, rinsing, heating = (
        State(name, power, is_on=True)
        for name, power in (("bryggar", 1450), ("sköljer", 120), ("värmer", 2100))
    )
    always = (10**9,) * 3
    return [
        Appliance("omas_brygg", "Omas Bryggare", "coffee-makers", 0, (off, brewing), always),
        Appliance("annas_disk", "Annas Diskmaskin", "dishwashers", 1, (off, rinsing, heating), always),
    ]


@pytest.fixture(params=["whatwatt", "currentlyone"])
async def secretive(request: pytest.FixtureRequest, house: House, start: Start) -> Reader:
    """Return a reader of each kind whose owner has a lot to hide."""
    house.appliances = appliances_with_names()
    reader: Reader
    if request.param == "whatwatt":
        reader = WhatwattSimulator(house, password="sesame", name="Villa Kunterbunt")
    else:
        reader = CurrentlyOneSimulator(house, name='Casa "Mia" Segreta')
    await start(reader)
    return reader


async def live_with(hass: HomeAssistant, reader: Reader) -> MockConfigEntry:
    if isinstance(reader, WhatwattSimulator):
        return await live_with_whatwatt(hass, reader)
    return await live_with_currentlyone(hass, reader)


async def download_diagnostics(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: MockConfigEntry, path: Path
) -> Path:
    """Write the file that Home Assistant offers."""
    assert await async_setup_component(hass, "diagnostics", {})
    client = await hass_client()
    url = f"/api/diagnostics/config_entry/{entry.entry_id}"
    async with asyncio.timeout(30):
        # Home Assistant finds a moment later which integrations have diagnostics.
        while (response := await client.get(url)).status == HTTPStatus.NOT_FOUND:  # noqa: ASYNC110 (not ours)
            await asyncio.sleep(0.05)
    path.write_bytes(await response.read())  # noqa: ASYNC240 (a small file)
    return path


def said_by_us(caplog: pytest.LogCaptureFixture) -> str:
    """Return our part of the log, with everything that a handler may write of it."""
    formatter = logging.Formatter()
    return "\n".join(formatter.format(record) for record in caplog.records if record.name.startswith(OURS))


def functions_of_ours() -> list[FunctionType]:
    """Return all functions that run while a reader is heard, but those that hold the guards."""
    guards = ("__init__", "run", "_run", "_wake_up", "async_start", "_data")
    return [
        function
        for name, module in sys.modules.items()
        if name.startswith(f"{OURS}.") and not name.endswith((".errors", ".diagnostics"))
        for function in functions_of(module, but=guards)
        # What makes context managers is everybody's.
        if function.__code__.co_filename == module.__file__
    ]


@pytest.mark.errors
async def test_no_error_puts_an_identity_into_log_or_diagnostics(
    *,
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    secretive: Reader,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    await press_enable_debug_logging(hass)
    entry = await live_with(hass, secretive)
    hass.config_entries.async_update_entry(entry, title=secretive.name)
    # An error names what it meets: a key, a host, a row of the database.
    thrower = ErrorInjector(*functions_of_ours(), chance=0.01, text=" ".join(secrets_of(secretive)))
    port = secretive.port
    with thrower.throws():
        for n in range(100):
            await secretive.tick()
            await be_strange(secretive)
            await time_machine.advance(150 if n % 20 == 0 else 10)
            if n % 10 == 0:
                secretive.end_streams()
            if n % 25 == 0:
                await secretive.stop()
                await time_machine.advance(60)
                await secretive.start(port)
                await time_machine.advance(60)
    assert len(thrower.places) > 10
    diagnostics = await download_diagnostics(hass, hass_client, entry, tmp_path / "diagnostics.json")
    await hass.config_entries.async_unload(entry.entry_id)
    assert "Unexpected error" in caplog.text
    assert_absent(said_by_us(caplog), *secrets_of(secretive))
    report = json.loads(diagnostics.read_text())
    del report["home_assistant"]
    assert_absent(json.dumps(report, ensure_ascii=False), *secrets_of(secretive))


async def test_replayed_log_gives_the_same_entities_and_events(
    *,
    hass: HomeAssistant,
    second_hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    secretive: Reader,
    start: Start,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    await press_enable_debug_logging(hass)
    observer = Observer(hass, secretive)
    entry = await live_with(hass, secretive)
    lived = observer.seen(entry)
    heard = entry.runtime_data.coordinator.reader.stats.events
    diagnostics = await download_diagnostics(hass, hass_client, entry, tmp_path / "diagnostics.json")
    assert await hass.config_entries.async_unload(entry.entry_id)

    ours = logged_messages(caplog)
    assert_absent(said_by_us(caplog), *secrets_of(secretive))
    assert_absent(json.dumps(json.loads(diagnostics.read_text())["data"]), *secrets_of(secretive))
    assert all("\n" not in line for line in ours)

    (recording,) = read(download_log(caplog, tmp_path / "home-assistant.log"))
    assert recording.missing == []
    assert len(recording.events) == sum(heard.values())
    caplog.clear()
    replayed = ReplayedReader(recording)
    await start(replayed)
    second_entry, relived = await run_replay(second_hass, replayed, time_machine)

    lived = lived.anonymous()
    assert relived.entities == lived.entities
    assert relived.transitions == lived.transitions
    if isinstance(secretive, CurrentlyOneSimulator):
        assert [happened for _, happened, _ in lived.transitions] == [
            "turned_on",
            "turned_off",
            "turned_on",
            "state_changed",
            "turned_off",
        ]
    assert second_entry.runtime_data.coordinator.reader.stats.events == heard, (
        "none is lost, none comes twice"
    )
    assert [r for r in caplog.records if r.name.startswith(OURS) and r.levelno >= logging.WARNING] == []
    assert await second_hass.config_entries.async_unload(second_entry.entry_id)


async def test_replayed_diagnostics_give_the_same_entities(
    *,
    hass: HomeAssistant,
    second_hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    secretive: Reader,
    start: Start,
    time_machine: TimeMachine,
    tmp_path: Path,
) -> None:
    observer = Observer(hass, secretive)
    entry = await set_up(hass, secretive)
    await secretive.switch("annas_disk", "värmer")
    for _ in range(50):
        await secretive.tick()
    await be_strange(secretive)
    await tick(hass, secretive)
    lived = observer.seen(entry).anonymous()
    (recording,) = read(await download_diagnostics(hass, hass_client, entry, tmp_path / "diagnostics.json"))
    assert recording.missing == []
    assert await hass.config_entries.async_unload(entry.entry_id)
    replayed = ReplayedReader(recording)
    await start(replayed)
    second_entry, relived = await run_replay(second_hass, replayed, time_machine)
    # What an appliance did longer ago than the last events is not in the file.
    assert {key for key in relived.entities if not key.startswith(":")} == {
        key for key in lived.entities if not key.startswith(":")
    }
    for key, (state, _) in relived.entities.items():
        if not key.startswith(":"):
            assert state == lived.entities[key][0], key
    assert await second_hass.config_entries.async_unload(second_entry.entry_id)


async def test_replay_is_the_same_when_logging_starts_later(
    *,
    hass: HomeAssistant,
    second_hass: HomeAssistant,
    secretive: Reader,
    start: Start,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    await press_enable_debug_logging(hass, "info")
    entry = await set_up(hass, secretive)
    await tick(hass, secretive)
    assert logged_messages(caplog) == []
    await press_enable_debug_logging(hass)
    observer = Observer(hass, secretive)
    await secretive.switch("omas_brygg", "bryggar")
    await tick(hass, secretive)
    lived = observer.seen(entry).anonymous()
    assert await hass.config_entries.async_unload(entry.entry_id)
    (recording,) = read(download_log(caplog, tmp_path / "home-assistant.log"))
    assert recording.missing == []
    replayed = ReplayedReader(recording)
    await start(replayed)
    second_entry, relived = await run_replay(second_hass, replayed, time_machine)
    assert relived.transitions == lived.transitions
    assert {key: state for key, (state, _) in relived.entities.items()} == {
        key: state for key, (state, _) in lived.entities.items()
    }
    assert await second_hass.config_entries.async_unload(second_entry.entry_id)


async def test_two_readers_of_one_log_are_replayed(
    *,
    hass: HomeAssistant,
    second_hass: HomeAssistant,
    whatwatt: WhatwattSimulator,
    currentlyone: CurrentlyOneSimulator,
    start: Start,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    await press_enable_debug_logging(hass)
    entries = [await set_up(hass, reader) for reader in (whatwatt, currentlyone)]
    for _ in range(2):
        await tick(hass, whatwatt)
        await tick(hass, currentlyone)
    for entry in entries:
        assert await hass.config_entries.async_unload(entry.entry_id)
    recordings = read(download_log(caplog, tmp_path / "home-assistant.log"))
    assert [recording.kind for recording in recordings] == [Kind.WHATWATT, Kind.CURRENTLYONE]
    for recording in recordings:
        reader = ReplayedReader(recording)
        await start(reader)
        entry, seen = await run_replay(second_hass, reader, time_machine)
        assert float(seen.entities["_active_energy_import"][0]) > 10_000
    connections = [
        state.state
        for state in second_hass.states.async_all("binary_sensor")
        if state.attributes["device_class"] == "connectivity"
    ]
    assert connections == ["on", "on"]
    for entry in second_hass.config_entries.async_entries("energy_sse"):
        assert await second_hass.config_entries.async_unload(entry.entry_id)


# ------------------------------------------------------------------------------------- files of all kinds

HEAD = "2026-11-24 01:00:00.000 DEBUG (MainThread) [custom_components.energy_sse.reader.recording] "


def log_of(*lines: str) -> str:
    return "".join(f"{HEAD}{line}\n" for line in lines)


LIVE = log_of(
    "2026-11-24T01:00:00.000Z anon-00000001 stream 1 opened /api/v1/live",
    '2026-11-24T01:00:05.000Z anon-00000001 event 1 live {"P_In":1.5}',
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("", "neither a log", id="empty"),
        pytest.param("2026-11-24 01:00:00 INFO all is well\n", "neither a log", id="another log"),
        pytest.param(LIVE.replace("T01", "T99"), "neither a log", id="no times"),
        pytest.param(log_of("2026-11-24T01:00:00.000Z a event 1"), "neither a log", id="no events"),
        pytest.param('{"data": {"entry', "ends in the middle", id="truncated"),
        pytest.param('{"a":' * 100_000, "ends in the middle", id="deep"),
        pytest.param("{}", "no diagnostics of Energy SSE", id="any JSON"),
        pytest.param('{"data": [1]}', "no diagnostics of Energy SSE", id="wrong shape"),
        pytest.param("[1, 2]", "neither a log", id="a list"),
        pytest.param(
            '{"integration_manifest": {"domain": "hue"}, "data": {}}',
            "another integration",
            id="another integration",
        ),
        pytest.param(
            '{"data": {"entry": {"data": {"kind": "whatwatt"}}}}', "was not set up", id="nothing was heard"
        ),
        pytest.param("\0\xff" * 1000, "neither a log", id="binary"),
    ],
)
def test_file_without_a_recording_is_rejected_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    reason: str,
) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    monkeypatch.setattr("sys.argv", ["python -m tests.simulators", "replay", str(path)])
    assert main() == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith(f"{path} cannot be played: ")
    assert reason in line


# Bytes that a command may take, whatever it is given: it takes a fifth of it by itself.
MEMORY = 700_000_000

DIAGNOSTICS = '{"integration_manifest": {"domain": "%s"}, "data": {"entry": {"data": {"kind": "whatwatt"}}}}'


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("tests.simulators replay", name) for name in ("directory", "binary", "huge log", "another's")),
        *(("demo --replay", name) for name in ("truncated", "huge JSON")),
    ],
)
def test_hostile_file_is_rejected_with_little_memory(tmp_path: Path, command: str, name: str) -> None:
    path = tmp_path / name
    if name == "directory":
        path.mkdir()
    else:
        content = {
            "binary": b"\x7fELF\0\xff" * 1000,
            "huge log": LIVE.encode(),
            "huge JSON": b'{"data":',
            "another's": (DIAGNOSTICS % "hue").encode(),
            "truncated": (DIAGNOSTICS % "energy_sse").encode()[:-9],
        }
        path.write_bytes(content[name])
    if "huge" in name:
        with path.open("r+b") as file:
            file.truncate(100_000_000)
    done = subprocess.run(
        (sys.executable, "-m", *command.split(), path),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: setrlimit(RLIMIT_DATA, (MEMORY, MEMORY)),
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert f"{path} cannot be played: " in line


def test_port_that_is_in_use_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text(LIVE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = ["python -m tests.simulators", "replay", str(tmp_path / "file"), "--quiet", "--port", port]
        monkeypatch.setattr("sys.argv", command)
        assert main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "address already in use" in line


def test_files_of_one_reader_are_replayed_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(LIVE)
    (tmp_path / "b").write_text(LIVE.replace("/api/v1/live", "/events").replace(" live ", " state "))
    (tmp_path / "c").write_text(LIVE)
    whatwatt, currentlyone = read_all(tmp_path / name for name in "abc")
    assert (whatwatt.kind, currentlyone.kind) == (Kind.WHATWATT, Kind.CURRENTLYONE)
    assert f"What {tmp_path / 'c'} holds of the same reader is left out." in whatwatt.description


def test_huge_or_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        read(tmp_path / "nothing")
    with pytest.raises(RecordingError, match="directory"):
        read(tmp_path)
    huge = tmp_path / "huge"
    with huge.open("w") as file:
        file.truncate(SIZE_LIMIT + 1)
    with pytest.raises(RecordingError, match="more than 50 MB"):
        read(huge)


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (LIVE, ["It has no answer of /api/v1/system; a made-up one says who it is."]),
        (
            LIVE + HEAD + "2026-11-24T01:00:06.000Z anon-00000001 event 1 live {",
            ["It has no answer of /api/v1/system", "1 of its lines cannot be read"],
        ),
        (
            LIVE
            + log_of(
                "2026-11-24T01:00:06.000Z anon-00000001 event 1 live **REDACTED** (20000 characters)",
                "2026-11-24T01:00:06.000Z anon-00000001 event 1 log **REDACTED** (12 characters)",
                '2026-11-24T01:00:07.000Z anon-00000001 event 1 live "{',
            ),
            ["1 events or answers were too long", "1 of its lines cannot be read"],
        ),
        (
            LIVE.replace("/api/v1/live", "/events").replace(" live ", " state "),
            ["It has no config event; a made-up one says who it is."],
        ),
        (
            log_of("2026-11-24T01:00:00.000Z anon-00000001 answer /api/v1/system 404"),
            ["It has no events.", "no answer of /api/v1/system"],
        ),
        (
            '{"data": {"entry": {"data": {"kind": "whatwatt"}}, "recent_events": [7, {"type": "a"}]}}',
            ["older version", "guessed", "1 of its events make no sense"],
        ),
        (
            '{"data": {"entry": {"data": {"kind": "currentlyone"}}, "answers": 5, "recent_events": 5}}',
            ["It has no events."],
        ),
    ],
)
async def test_missing_data_is_reported_and_the_rest_is_replayed(
    tmp_path: Path, content: str, missing: list[str]
) -> None:
    (tmp_path / "file").write_text(content)
    (recording,) = read(tmp_path / "file")
    for reason in missing:
        assert any(reason in said for said in recording.missing), recording.missing
    ReplayedReader(recording)
