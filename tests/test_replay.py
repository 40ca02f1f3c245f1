"""Recordings: from a reader to a log or diagnostics, and back to a simulated reader."""

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
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.loader import DATA_CUSTOM_COMPONENTS
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_test_home_assistant
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.energy_sse.reader import READERS, connection

from .conftest import Start
from .error_injection import ErrorInjector, functions_of
from .home_assistant import set_up, settle, tick
from .logs import logged_messages
from .pseudonyms import assert_absent
from .replay_result import Observer, run_replay
from .simulators import SIMULATORS, CurrentlyOneSimulator, House, Simulator, WhatwattSimulator
from .simulators.__main__ import main
from .simulators.house import Appliance, State
from .simulators.recordings import Kind, RecordingError, read, read_all
from .simulators.replay import ReplayedReader
from .time_machine import TimeMachine
from .wait import wait_until

pytestmark = pytest.mark.slow(
    "reader/*", "diagnostics.py", "demo/*", "tests/simulators/*", "tests/replay_result.py"
)

OURS = "custom_components.energy_sse"

ODD_EVENTS = [
    'newest\r\ndata: {"id":"omas_brygg","owner":"Segreta","omas_brygg":{"W":5}}',
    "newest\r\ndata: Casa Segreta",
    'state\r\ndata: {"name":"Casa Segre',
    'live\r\ndata: {"P_In":nan,"PF":0.5,"M_ID":"2000',
    "log\r\ndata: Casa Segreta at 192.168.1.122",
]


@pytest.fixture(autouse=True)
def _quick_reconnects(every_entity_enabled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MIN_WAIT", 0.01)


@pytest.fixture
async def second_hass(hass: HomeAssistant) -> AsyncGenerator[HomeAssistant]:
    """Return a second Home Assistant."""
    async with async_test_home_assistant() as other:
        other.data.pop(DATA_CUSTOM_COMPONENTS, None)
        yield other
        await other.async_stop(force=True)


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    """Reset the level that a test has changed by Home Assistant's *logger*."""
    yield
    logger = logging.getLogger(OURS)
    getattr(logger, "orig_setLevel", logger.setLevel)(logging.NOTSET)


async def enable_debug_logging(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, "logger", {})
    await hass.services.async_call("logger", "set_level", {OURS: "debug"}, blocking=True)


def download_log(caplog: pytest.LogCaptureFixture, path: Path) -> Path:
    """Write the log as Home Assistant does."""
    with path.open("w") as file:
        for record in caplog.records:
            time = f"{datetime.fromtimestamp(record.created).astimezone():%Y-%m-%d %H:%M:%S}"
            head = f"{time}.{record.msecs:03.0f} {record.levelname} ({record.threadName}) [{record.name}]"
            file.write(f"{head} {record.getMessage()}\n")
    return path


def secrets_of(reader: Simulator) -> list[str]:
    """Return all identities of a simulated reader."""
    return ["Segre", *reader.secrets()]


async def send_odd_events(reader: Simulator) -> None:
    for event in ODD_EVENTS:
        await reader.broadcast(f"event: {event}\r\n\r\n".encode())


async def live_with(hass: HomeAssistant, reader: Simulator) -> MockConfigEntry:
    """Set a reader up, switch appliances, and lose the stream once."""
    if isinstance(reader, WhatwattSimulator):
        reader.sub_meters = {"20000741": 123.45, "80123456": None}
    await reader.tick(3600)
    entry = await set_up(hass, reader)
    await tick(hass, reader)
    for state in ("bryggar", "off"):
        await reader.switch("omas_brygg", state)
        await settle(hass, entry, reader)
    await send_odd_events(reader)
    for state in ("sköljer", "värmer"):
        await reader.switch("annas_disk", state)
        await settle(hass, entry, reader)
    reader.end_streams()
    await wait_until(lambda: reader.streams)
    await reader.switch("annas_disk", "off")
    await settle(hass, entry, reader)
    return entry


def appliances_with_names() -> list[Appliance]:
    """Return appliances with private names."""
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


@pytest.fixture(params=SIMULATORS)
async def private_reader(request: pytest.FixtureRequest, house: House, start: Start) -> Simulator:
    """Return a reader of each kind with private names."""
    house.appliances = appliances_with_names()
    options: dict[str, Any] = {"password": "sesame"} if READERS[request.param].can_have_password else {}
    return await start(SIMULATORS[request.param](house, name='Casa "Mia" Segreta', **options))


async def download_diagnostics(
    hass: HomeAssistant, hass_client: ClientSessionGenerator, entry: MockConfigEntry, path: Path
) -> Path:
    """Write the diagnostics of an entry to a file."""
    assert await async_setup_component(hass, "diagnostics", {})
    client = await hass_client()
    url = f"/api/diagnostics/config_entry/{entry.entry_id}"
    async with asyncio.timeout(30):
        # Home Assistant finds the diagnostics of integrations with a delay.
        while (response := await client.get(url)).status == HTTPStatus.NOT_FOUND:  # noqa: ASYNC110 (over HTTP)
            await asyncio.sleep(0.05)
    path.write_bytes(await response.read())  # noqa: ASYNC240 (a small file)
    return path


def log_of_integration(caplog: pytest.LogCaptureFixture) -> str:
    """Return the part of the integration in the log, with tracebacks."""
    formatter = logging.Formatter()
    return "\n".join(formatter.format(record) for record in caplog.records if record.name.startswith(OURS))


def functions_of_integration() -> list[FunctionType]:
    """Return all functions that run while a reader is connected, except functions that handle errors."""
    # The last three are the filter that removes the texts of errors.
    guards = ("__init__", "run", "async_start", "_collect", "filter", "format_trace", "_lines")
    return [
        function
        for name, module in sys.modules.items()
        if name.startswith(f"{OURS}.") and not name.endswith(".diagnostics")
        for function in functions_of(module, but=guards)
        # Decorators of other packages are not changed.
        if function.__code__.co_filename == module.__file__
    ]


@pytest.mark.errors
async def test_errors_put_no_identity_into_log_or_diagnostics(
    *,
    hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    private_reader: Simulator,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    await enable_debug_logging(hass)
    entry = await live_with(hass, private_reader)
    hass.config_entries.async_update_entry(entry, title=private_reader.name)
    # The text of an error can contain a key, a host or a row of the database.
    injector = ErrorInjector(
        *functions_of_integration(), chance=0.01, text=" ".join(secrets_of(private_reader))
    )
    port = private_reader.port
    with injector.raises():
        for n in range(100):
            await private_reader.tick()
            await send_odd_events(private_reader)
            await time_machine.advance(150 if n % 20 == 0 else 10)
            if n % 10 == 0:
                private_reader.end_streams()
            if n % 25 == 0:
                await private_reader.stop()
                await time_machine.advance(60)
                await private_reader.start(port)
                await time_machine.advance(60)
    assert len(injector.places) > 10
    diagnostics = await download_diagnostics(hass, hass_client, entry, tmp_path / "diagnostics.json")
    await hass.config_entries.async_unload(entry.entry_id)
    assert "Unexpected error" in caplog.text
    assert_absent(log_of_integration(caplog), *secrets_of(private_reader))
    report = json.loads(diagnostics.read_text())
    del report["home_assistant"]
    assert_absent(json.dumps(report, ensure_ascii=False), *secrets_of(private_reader))


@pytest.mark.parametrize("private_reader", Kind, indirect=True)
async def test_replayed_log_gives_the_same_entities_and_events(
    *,
    hass: HomeAssistant,
    second_hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    private_reader: Simulator,
    start: Start,
    time_machine: TimeMachine,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    await enable_debug_logging(hass)
    observer = Observer(hass, private_reader)
    entry = await live_with(hass, private_reader)
    first = observer.seen(entry)
    received = entry.runtime_data.coordinator.reader.stats.events
    diagnostics = await download_diagnostics(hass, hass_client, entry, tmp_path / "diagnostics.json")
    assert await hass.config_entries.async_unload(entry.entry_id)

    ours = logged_messages(caplog)
    assert_absent(log_of_integration(caplog), *secrets_of(private_reader))
    assert_absent(json.dumps(json.loads(diagnostics.read_text())["data"]), *secrets_of(private_reader))
    assert all("\n" not in line for line in ours)

    (recording,) = read(download_log(caplog, tmp_path / "home-assistant.log"))
    assert recording.missing == []
    assert len(recording.events) == sum(received.values())
    caplog.clear()
    reader = await start(ReplayedReader(recording))
    second_entry, second = await run_replay(second_hass, reader, time_machine)

    first = first.anonymous()
    assert second.entities == first.entities
    assert second.transitions == first.transitions
    if isinstance(private_reader, CurrentlyOneSimulator):
        assert [happened for _, happened, _ in first.transitions] == [
            "turned_on",
            "turned_off",
            "turned_on",
            "state_changed",
            "turned_off",
        ]
    assert second_entry.runtime_data.coordinator.reader.stats.events == received
    assert [r for r in caplog.records if r.name.startswith(OURS) and r.levelno >= logging.WARNING] == []
    assert await second_hass.config_entries.async_unload(second_entry.entry_id)


@pytest.mark.parametrize("private_reader", Kind, indirect=True)
async def test_replayed_diagnostics_give_the_same_entities(
    *,
    hass: HomeAssistant,
    second_hass: HomeAssistant,
    hass_client: ClientSessionGenerator,
    private_reader: Simulator,
    start: Start,
    time_machine: TimeMachine,
    tmp_path: Path,
) -> None:
    observer = Observer(hass, private_reader)
    entry = await set_up(hass, private_reader)
    await private_reader.switch("annas_disk", "värmer")
    for _ in range(50):
        await private_reader.tick()
    await send_odd_events(private_reader)
    await tick(hass, private_reader)
    first = observer.seen(entry).anonymous()
    (recording,) = read(await download_diagnostics(hass, hass_client, entry, tmp_path / "diagnostics.json"))
    assert recording.missing == []
    assert await hass.config_entries.async_unload(entry.entry_id)
    reader = await start(ReplayedReader(recording))
    second_entry, second = await run_replay(second_hass, reader, time_machine)
    # The diagnostics do not contain old events of appliances.
    assert {key for key in second.entities if not key.startswith(":")} == {
        key for key in first.entities if not key.startswith(":")
    }
    for key, (state, _) in second.entities.items():
        if not key.startswith(":"):
            assert state == first.entities[key][0], key
    assert await second_hass.config_entries.async_unload(second_entry.entry_id)


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
        pytest.param('{"data": {"entry', "incomplete", id="truncated"),
        pytest.param('{"a":' * 100_000, "incomplete", id="deep"),
        pytest.param("{}", "not diagnostics of the integration", id="any JSON"),
        pytest.param('{"data": [1]}', "not diagnostics of the integration", id="wrong shape"),
        pytest.param("[1, 2]", "neither a log", id="a list"),
        pytest.param(
            '{"integration_manifest": {"domain": "hue"}, "data": {}}',
            "another integration",
            id="another integration",
        ),
        pytest.param('{"data": {"entry": {"data": {"kind": "whatwatt"}}}}', "was not set up", id="no events"),
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


# Bytes. The command itself needs a fifth of it.
MEMORY = 700_000_000


@pytest.mark.parametrize(
    ("command", "beginning"),
    [("tests.simulators replay", LIVE), ("demo --replay", '{"data":')],
    ids=["huge log", "huge JSON"],
)
def test_huge_file_is_rejected_with_little_memory(tmp_path: Path, command: str, beginning: str) -> None:
    path = tmp_path / "huge"
    path.write_text(beginning)
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
    assert f"{path} cannot be played: it has more than" in line


def test_port_in_use_is_reported_in_one_line(
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
    other = (
        LIVE.replace("/api/v1/live", "/events").replace(" live ", " state ").replace("-00000001", "-00000002")
    )
    (tmp_path / "a").write_text(LIVE + other)
    (tmp_path / "b").write_text(LIVE)
    whatwatt, currentlyone = read_all(tmp_path / name for name in "ab")
    assert (whatwatt.kind, currentlyone.kind) == (Kind.WHATWATT, Kind.CURRENTLYONE)
    assert f"The recording of the same reader in {tmp_path / 'b'} is ignored." in whatwatt.description


def test_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        read(tmp_path / "nothing")
    with pytest.raises(RecordingError, match="directory"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        (LIVE, ["It has no response of /api/v1/system, and gets a default one."]),
        (
            LIVE + HEAD + "2026-11-24T01:00:06.000Z anon-00000001 event 1 live {",
            ["It has no response of /api/v1/system", "1 of its lines are invalid"],
        ),
        (
            LIVE
            + log_of(
                "2026-11-24T01:00:06.000Z anon-00000001 event 1 live **REDACTED** (20000 characters)",
                "2026-11-24T01:00:06.000Z anon-00000001 event 1 log **REDACTED** (12 characters)",
                '2026-11-24T01:00:07.000Z anon-00000001 event 1 live "{',
            ),
            ["1 events or responses were too long", "1 of its lines are invalid"],
        ),
        (
            LIVE.replace("/api/v1/live", "/events").replace(" live ", " state "),
            ["It has no config event, and gets a default one."],
        ),
        (
            log_of("2026-11-24T01:00:00.000Z anon-00000001 answer /api/v1/system 404"),
            ["It has no events.", "no response of /api/v1/system"],
        ),
        (
            '{"data": {"entry": {"data": {"kind": "whatwatt"}}, "recent_events": [7, {"type": "a"}]}}',
            ["2 of its events are invalid", "It has no events."],
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
        assert any(reason in each for each in recording.missing), recording.missing
    ReplayedReader(recording)
