"""Picture of a day with a power tariff: docs/pictures/tariff_day.svg."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
import math
from pathlib import Path
from typing import Final, NamedTuple

# Pixels.
_WIDTH: Final = 900
_HEIGHT: Final = 380
_LEFT: Final = 46
_RIGHT: Final = 872
_TOP: Final = 48
_BOTTOM: Final = 340

# kW between two lines of the grid, hours between two labels, and kW above the highest value.
_STEP: Final = 2
_LABEL_STEP: Final = 3
_MARGIN: Final = 0.5

_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)

# The background is part of the picture, so that the picture is readable in light and in dark mode.
_STYLE: Final = """
svg { --ground: #fff; --text: #1f2328; --grid: #d8dee4; --power: #c5ccd4;
      --demand: #0969da; --expected: #bc4c00; --limit: #cf222e; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #0d1117; --text: #e6edf3; --grid: #30363d; --power: #3d444d;
        --demand: #58a6ff; --expected: #f0883e; --limit: #ff7b72; }
}
text { font: 13px system-ui, sans-serif; fill: var(--text); }
path { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.grid { stroke: var(--grid); stroke-width: 1; }
.power { fill: var(--power); }
.demand { stroke: var(--demand); stroke-width: 2.2; }
.expected { stroke: var(--expected); stroke-dasharray: 4 2; }
.limit { stroke: var(--limit); stroke-dasharray: 9 3; }
"""

_LEGEND: Final = {
    "power": "Power from the grid",
    "demand": "Demand",
    "expected": "Expected demand",
    "limit": "Demand limit",
}


class Moment(NamedTuple):
    """Values at the time of a telegram, in kW; None if a sensor has no value."""

    time: datetime
    power: float
    demand: float | None
    expected: float | None
    limit: float | None


def write(path: Path, start: datetime, moments: Sequence[Moment]) -> None:
    """Write the picture of a day that starts at a local time."""
    path.write_text("\n".join(_lines(start, moments)) + "\n")


def _lines(start: datetime, moments: Sequence[Moment]) -> Iterator[str]:
    highest = max(value for moment in moments for value in moment[1:] if value is not None)
    top = _STEP * math.ceil((highest + _MARGIN) / _STEP)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" role="img">'
    )
    yield f"<title>Power tariff on {start:%d %B %Y}</title>"
    yield f"<style>{_STYLE}</style>"
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="6" style="fill: var(--ground)" />'
    yield from _legend()

    def x(time: datetime) -> float:
        return _LEFT + (time - start) / _DAY * (_RIGHT - _LEFT)

    def y(power: float) -> float:
        return _BOTTOM - power / top * (_BOTTOM - _TOP)

    def line(points: Iterable[tuple[datetime, float]]) -> str:
        return " ".join(f"{x(time):.1f},{y(power):.1f}" for time, power in points)

    powers = [(moment.time, moment.power) for moment in moments]
    ends = [(time, 0.0) for time, _ in (powers[0], powers[-1])]
    yield f'<path class="power" d="M{line((ends[0], *powers, ends[1]))}Z" />'
    for power in range(0, top + 1, _STEP):
        yield f'<path class="grid" d="M{_LEFT},{y(power):.1f}H{_RIGHT}" />'
        yield _text(_LEFT - 8, y(power) + 4, str(power), "end")
    for hour in range(0, 25, _LABEL_STEP):
        time = start + hour * _HOUR
        yield f'<path class="grid" d="M{x(time):.1f},{_TOP}V{_BOTTOM + 5}" />'
        yield _text(x(time), _BOTTOM + 21, f"{hour}:00", "middle")
    yield _text(_LEFT - 8, _TOP - 12, "kW", "end")
    for name in ("limit", "expected", "demand"):
        values = [(moment.time, getattr(moment, name)) for moment in moments]
        for is_known, points in groupby(values, lambda point: point[1] is not None):
            if is_known:
                yield f'<path class="{name}" d="M{line(_corners(list(points)))}" />'
    yield "</svg>"


def _legend() -> Iterator[str]:
    x = _LEFT + 20
    for name, label in _LEGEND.items():
        if name == "power":
            yield f'<path class="power" d="M{x},14h26v12h-26z" />'
        else:
            yield f'<path class="{name}" d="M{x},20h26" />'
        yield _text(x + 34, 25, label, "start")
        x += 60 + 8 * len(label)


def _corners(points: Sequence[tuple[datetime, float]]) -> Iterator[tuple[datetime, float]]:
    """Yield the points without those between two points of the same value."""
    for index, (time, value) in enumerate(points):
        around = points[max(index - 1, 0) : index + 2]
        if index in (0, len(points) - 1) or any(other != value for _, other in around):
            yield time, value


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
