"""Helpers of the benchmarks: effort, medians with their spread, Markdown tables, and new processes."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
from statistics import median


@dataclass(frozen=True)
class Effort:
    """Effort of a run: a full measurement, or a quick and rough one."""

    quick: bool

    def choose[T](self, full: T, quick: T) -> T:
        """Return the value for a full run or for a quick one."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Result:
    """Result of repeated measurements."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """Median of the values."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """Median absolute deviation of the values."""
        middle = self.median
        return median(abs(value - middle) for value in self.values)

    def text(self, factor: float = 1.0, digits: int = 2) -> str:
        """Return median and spread, multiplied by `factor`: 1e6 for seconds shows microseconds."""
        return f"{self.median * factor:,.{digits}f} ± {self.spread * factor:,.{digits}f}"


def format_ratio(ratio: float, digits: int = 2) -> str:
    """Return a ratio in bold Markdown, with a multiplication sign."""
    return f"**{ratio:.{digits}f} ×**"  # noqa: RUF001 (no letter)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


# ---------------------------------------------------------------------------------- new process


def in_new_process[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a new process, so that earlier measurements do not affect it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()
