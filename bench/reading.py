"""CPU time of a reading, from bytes to written states, against the baseline."""

from collections.abc import Callable, Iterable
import logging
from typing import Final

from .harness import measure, runner
from .home import Home, count_writes, started
from .measure import Effort, alone, table, times

KINDS: Final = {"typical": "typical: six values changed", "worst": "worst: all values changed"}

WAYS: Final = {"ours": "energy_sse", "baseline": "baseline"}


def bench_readings(
    module: str,
    ways: Iterable[str],
    started: Callable[[str], Home],
) -> None:
    """Measure ways of getting readings of each kind into a home, as pyperf asks for it: CPU seconds each."""
    pyperf = runner(module)
    logging.disable(logging.WARNING)

    def bench(kind: str, way: str) -> None:
        home: Home | None = None

        def run(loops: int) -> float:
            nonlocal home
            home = home or started(way)
            return home.run(home.feed(home.meter.readings(kind, loops)))

        pyperf.bench_time_func(f"{kind} {way}", run)
        # Only one of the processes that pyperf starts measures this one.
        if home is not None:
            home.run(home.stop())

    for kind in KINDS:
        for way in ways:
            bench(kind, way)


def main() -> None:
    """Measure all ways."""
    bench_readings(f"{__package__}.reading", WAYS, started)


def report(effort: Effort) -> str:
    """Measure, and return the section of the document."""
    # Many rounds, because other work of the machine changes what the caches hold.
    seconds = measure(f"{__package__}.reading", effort, loops=500, rounds=15)
    rows = []
    for kind, title in KINDS.items():
        baseline = seconds[f"{kind} baseline"].median
        for way, name in WAYS.items():
            result = seconds[f"{kind} {way}"]
            rows.append(
                (
                    title if way == "ours" else "",
                    name,
                    times(result.median / baseline),
                    result.text(1e6, 1),
                    f"{alone(count_writes, kind, way):.1f}",
                )
            )
    return table(("reading", "", "of the baseline", "µs of CPU", "states written"), rows)


if __name__ == "__main__":
    main()
