"""CPU time of a reading, from received bytes to written states, compared with the baseline."""

from collections.abc import Callable, Iterable
import logging
from typing import Final

from .harness import measure, runner
from .home import Home, count_writes, start_home
from .measure import Effort, format_ratio, in_new_process, table

KINDS: Final = {"typical": "typical: six values changed", "worst": "worst: all values changed"}

VARIANTS: Final = {"integration": "energy_sse", "baseline": "baseline"}


def bench_readings(
    module: str,
    variants: Iterable[str],
    start_home: Callable[[str], Home],
) -> None:
    """Measure the CPU seconds of a reading, for each kind of reading and each variant of Home Assistant.

    `start_home` returns the home of a variant. pyperf selects the benchmarks of this process.
    """
    pyperf = runner(module)
    logging.disable(logging.WARNING)

    def bench(kind: str, variant: str) -> None:
        home: Home | None = None

        def run(loops: int) -> float:
            nonlocal home
            home = home or start_home(variant)
            return home.run(home.feed(home.meter.readings(kind, loops)))

        pyperf.bench_time_func(f"{kind} {variant}", run)
        # The other processes of pyperf skip this benchmark, and start no home.
        if home is not None:
            home.run(home.stop())

    for kind in KINDS:
        for variant in variants:
            bench(kind, variant)


def main() -> None:
    """Measure all variants."""
    bench_readings(f"{__package__}.reading", VARIANTS, start_home)


def report(effort: Effort) -> str:
    """Measure, and return the section of docs/results/performance.md in Markdown."""
    # Many rounds, because other work of the machine changes the content of the caches.
    seconds = measure(f"{__package__}.reading", effort, loops=500, rounds=15)
    rows = []
    for kind, title in KINDS.items():
        baseline = seconds[f"{kind} baseline"].median
        for variant, name in VARIANTS.items():
            result = seconds[f"{kind} {variant}"]
            rows.append(
                (
                    title if variant == "integration" else "",
                    name,
                    format_ratio(result.median / baseline),
                    result.text(1e6, 1),
                    f"{in_new_process(count_writes, kind, variant):.1f}",
                )
            )
    return table(("reading", "", "of the baseline", "µs of CPU", "states written"), rows)


if __name__ == "__main__":
    main()
