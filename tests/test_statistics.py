"""What the Energy dashboard shows of hours that nobody heard, with a real recorder on real databases."""

from datetime import UTC, datetime, timedelta
import logging
from pathlib import Path
from typing import Any

import pytest

from .conftest import Start
from .lives import HOUR, REGISTERS, Life
from .readers import CurrentlyOneSimulator, House

# How many full hours a reader remembers.
REMEMBERED = 64


@pytest.fixture
async def life(tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture) -> Any:
    """Return the life of a house in November, early in the morning; Home Assistant is not there yet."""
    for chatty in ("homeassistant", "sqlalchemy.engine", "aiohttp.access"):
        caplog.set_level(logging.CRITICAL, chatty)
    caplog.set_level(logging.DEBUG, "custom_components.energy_sse")
    reader = CurrentlyOneSimulator(House(clock=datetime(2026, 11, 10, 5, 30, tzinfo=UTC), appliances=[]))
    await start(reader)
    life = Life(reader, f"sqlite:///{tmp_path}/home-assistant.db", tmp_path)
    with life.stopped_clock():
        yield life
        if life.is_running:
            await life.stop()


def at(time: str, day: int = 10) -> datetime:
    return datetime.strptime(f"2026-11-{day} {time} +0000", "%Y-%m-%d %H:%M:%S %z")


async def outage(life: Life, kind: str, begin: datetime, end: datetime) -> None:
    await life.live_until(begin)
    match kind:
        case "off":
            await life.stop()
        case "crash":
            await life.crash()
        case "deaf":
            await life.be_deaf()
    await life.live_until(end)
    await (life.hear_again() if kind == "deaf" else life.start())


async def check_hours(life: Life, since: datetime) -> None:
    """Hold every hour since then, up to the last that is over, against the meter."""
    for register in REGISTERS:
        shown = await life.hours(register)
        truth, heard = life.truth[register], life.heard[register]
        ends = [
            end for end in sorted(truth) if end > since + HOUR and life.now >= end + timedelta(seconds=20)
        ]
        for end in ends:
            row = shown[end - HOUR]
            assert row.state == pytest.approx(heard.get(end, truth[end]), abs=1e-3), (register, end)
            before = heard.get(end - HOUR, truth[end - HOUR])
            assert row.change == pytest.approx(row.state - before, abs=1e-3), (register, end)
            # What was heard last before the hour's end is a second old.
            assert row.change == pytest.approx(truth[end] - truth[end - HOUR], abs=3), (register, end)


MINUTES = [
    ("07:57:20", "11:11:20"),
    ("07:00:02", "10:59:52"),
    ("08:00:06", "11:00:03"),
    ("07:31:00", "11:04:58"),
    ("07:04:00", "11:59:40"),
    ("07:58:02", "11:00:20"),
]


@pytest.mark.parametrize(("begin", "end"), MINUTES)
@pytest.mark.parametrize("kind", ["off", "crash", "deaf"])
async def test_three_hours(life: Life, kind: str, begin: str, end: str) -> None:
    await life.start()
    await outage(life, kind, at(begin), at(end))
    await life.live_until(at("13:05:00"))
    await check_hours(life, at("06:00:00"))
