"""Simulated readers compared with recorded payloads."""

from collections.abc import Callable
import json
from typing import Any

import pytest

from tests.samples import sample, sample_events

from . import CurrentlyOneSimulator, House, WhatwattSimulator
from .whatwatt import Firmware


def shape(value: object) -> object:
    """Return the keys of nested objects."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def is_part_of(part: object, whole: object) -> bool:
    """Return whether every key of one shape is in the other."""
    if not isinstance(part, dict) or not isinstance(whole, dict):
        return part is None
    return all(key in whole and is_part_of(inner, whole[key]) for key, inner in part.items())


def recorded_event(name: str, event_type: str) -> dict[str, Any]:
    """Return the first recorded event of a type."""
    payload: dict[str, Any] = json.loads(next(e.data for e in sample_events(name) if e.type == event_type))
    return payload


@pytest.mark.parametrize(
    ("make", "recorded"),
    [
        (lambda house: WhatwattSimulator(house).live(), recorded_event("whatwatt_live_fw2.sse", "live")),
        *(
            (
                lambda house, name=name: WhatwattSimulator(house, license_type=name).system(),
                json.loads(sample("whatwatt_system_fw1.10.json")),
            )
            for name in (None, "PLUS")
        ),
        (
            lambda house: WhatwattSimulator(house, license_type="PLUS").report(),
            json.loads(sample("whatwatt_report_kamstrup_kmp.json")),
        ),
        (
            lambda house: json.loads(CurrentlyOneSimulator(house).config()),
            recorded_event("currentlyone_stream_2.8.9.sse", "config"),
        ),
        (
            lambda house: json.loads(CurrentlyOneSimulator(house).state()),
            recorded_event("currentlyone_stream_2.8.9.sse", "state"),
        ),
    ],
    ids=["live", "system", "system with a license", "report", "config", "state"],
)
def test_simulator_sends_only_recorded_keys(
    house: House, make: Callable[[House], object], recorded: dict[str, Any]
) -> None:
    assert is_part_of(shape(make(house)), shape(recorded))


def test_simulator_of_old_firmware_sends_all_recorded_keys(house: House) -> None:
    live = WhatwattSimulator(house, firmware=Firmware.FILLING).live()
    assert recorded_event("whatwatt_live_fw1.sse", "live").keys() <= live.keys()
