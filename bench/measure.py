"""What the benchmarks share: how often, medians and their spread, and processes of their own."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
import multiprocessing
from statistics import median


@dataclass(frozen=True)
class Effort:
    """How much work a run puts into its numbers."""

    quick: bool

    def choose[T](self, full: T, quick: T) -> T:
        """Return what a full run takes, or a quick look."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Result:
    """A number that was measured more than once."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle of the values."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """The median of the distances from the median."""
        middle = self.median
        return median(abs(value - middle) for value in self.values)

    def text(self, factor: float = 1.0, digits: int = 2) -> str:
        """Return median and spread in a unit that is `factor` times as small."""
        return f"{self.median * factor:,.{digits}f} ± {self.spread * factor:,.{digits}f}"


def times(ratio: float, digits: int = 2) -> str:
    """Return a ratio as it is to be seen first."""
    return f"**{ratio:.{digits}f} ×**"  # noqa: RUF001 (no letter)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


# ---------------------------------------------------------------------------------- in a process of its own


def alone[**P, T](function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in a fresh process, so that nothing measured before it counts."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()
