"""The stored file of an entry: truncated, damaged, replaced, and on a disk that cannot be written."""

import errno
import json
import os
from pathlib import Path

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import storage
from homeassistant.util.file import WriteError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.energy_sse.const import CONF_POWER_TARIFF
from custom_components.energy_sse.store import storage_key

from .home_assistant import entry_for, settle, state_of
from .logs import logged_messages
from .simulators import CurrentlyOneSimulator
from .wait import wait_until

pytestmark = [
    pytest.mark.errors,
    pytest.mark.stored_files,
    pytest.mark.timeout(300),
    pytest.mark.slow("store.py", "__init__.py", "coordinator.py"),
]

# Lengths at which a file is cut off, beside the first and the last bytes.
CUTS = 20


@pytest.fixture
async def entry(hass: HomeAssistant, currentlyone: CurrentlyOneSimulator) -> MockConfigEntry:
    """Return an entry with a power tariff, and with its file."""
    entry = entry_for(currentlyone, options={CONF_POWER_TARIFF: {"enabled": True}})
    entry.add_to_hass(hass)
    await load_once(hass, entry, currentlyone)
    assert names(hass, entry) == [storage_key(entry.entry_id)]
    return entry


def path_of(hass: HomeAssistant, entry: MockConfigEntry) -> Path:
    return Path(hass.config.path(".storage", storage_key(entry.entry_id)))


def names(hass: HomeAssistant, entry: MockConfigEntry) -> list[str]:
    """Return the names of the entry's files, without the copies that Home Assistant makes of damaged ones."""
    folder = Path(hass.config.path(".storage"))
    found = (path.name for path in folder.iterdir() if entry.entry_id in path.name)
    return sorted(name for name in found if "corrupt" not in name)


async def load_once(hass: HomeAssistant, entry: MockConfigEntry, reader: CurrentlyOneSimulator) -> None:
    """Load the entry, receive a reading, and unload it."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    await wait_until(lambda: reader.streams)
    await settle(hass, entry, reader)
    register = state_of(hass, "sensor", f"{reader.device_id}_active_energy_import")
    assert float(register.state) * 1000 == int(sum(reader.house.active_import.values()))
    assert await hass.config_entries.async_unload(entry.entry_id)
    await wait_until(lambda: not reader.streams)


def damaged(content: bytes) -> list[bytes]:
    """Return contents that a disk, an editor or a newer version can leave in a file."""
    half = len(content) // 2
    lengths = {1, 2, len(content) - 2, len(content) - 1, *range(0, len(content), len(content) // CUTS)}
    return [
        *(content[:length] for length in sorted(lengths)),
        *(b"null", b"[]", b"{}", b"1", b'"text"', b"[" * 100_000),
        b"\x00" * len(content),
        content[:half] + b"\x00" * half,
        content.replace(b'"data"', b'"d\xff\xfe"'),
        b"\xef\xbb\xbf" + content,
        content + content,
        content.replace(b'"version": 2', b'"version": 3'),
        content.replace(b'"version": 2', b'"version": null'),
        content.replace(b'"version": 2,', b'"newer": [],'),
        content.replace(b'"minor_version": 1', b'"minor_version": 2'),
    ]


async def test_damaged_file_is_replaced(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    entry: MockConfigEntry,
    *,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = path_of(hass, entry)
    good = json.loads(path.read_bytes())
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        await load_once(hass, entry, currentlyone)
        stored = json.loads(path.read_bytes())
        assert {key: stored[key] for key in stored if key != "data"} == {
            key: good[key] for key in good if key != "data"
        }
        assert stored["data"].keys() == good["data"].keys()
    errors = [line for line in logged_messages(caplog) if line.startswith("Unexpected")]
    assert [line for line in errors if "stored data" not in line] == []
    await hass.config_entries.async_remove(entry.entry_id)
    assert names(hass, entry) == []


async def test_file_is_not_written_while_the_reader_is_offline(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, entry: MockConfigEntry
) -> None:
    # Home Assistant tries to set up the entry every ten minutes, for as long as the reader is away.
    path = path_of(hass, entry)
    before = path.stat().st_mtime_ns
    await currentlyone.stop()
    for _ in range(3):
        await hass.config_entries.async_setup(entry.entry_id)
        assert entry.state is ConfigEntryState.SETUP_RETRY
        await hass.config_entries.async_unload(entry.entry_id)
    assert path.stat().st_mtime_ns == before


async def test_folder_in_place_of_the_file_is_kept(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    entry: MockConfigEntry,
    *,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = path_of(hass, entry)
    path.unlink()
    path.mkdir()
    await load_once(hass, entry, currentlyone)
    caplog.clear()
    await hass.config_entries.async_remove(entry.entry_id)
    # The integration has not created the folder.
    assert names(hass, entry) == [path.name]
    assert "cannot be deleted" in logged_messages(caplog)[-1]


async def test_file_without_permission_is_replaced(
    hass: HomeAssistant, currentlyone: CurrentlyOneSimulator, entry: MockConfigEntry
) -> None:
    path = path_of(hass, entry)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads every file")
    await load_once(hass, entry, currentlyone)
    assert json.loads(path.read_bytes())["data"]


async def test_file_is_saved_when_a_full_disk_has_space_again(
    hass: HomeAssistant,
    currentlyone: CurrentlyOneSimulator,
    entry: MockConfigEntry,
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise WriteError(errno.ENOSPC, "No space left on device")

    before = path_of(hass, entry).read_bytes()
    with monkeypatch.context() as full:
        full.setattr(storage, "write_utf8_file", fail)
        for _ in range(2):
            await load_once(hass, entry, currentlyone)
    assert path_of(hass, entry).read_bytes() == before
    await load_once(hass, entry, currentlyone)
    assert path_of(hass, entry).read_bytes() != before
