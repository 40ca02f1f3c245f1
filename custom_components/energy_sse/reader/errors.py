"""Errors that nobody expected, in tasks that have to go on.

The text of an error may be what a device has said, or where it is: a KeyError names the key, and a network's
the host. So in the log an error is its type, and the lines of ours that it came by.
"""

from collections.abc import Iterator
import logging
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Final, NamedTuple

_OURS: Final = f"{Path(__file__).parents[1]}/"

# Errors that led to one another; a chain may be a ring.
_MAX_CAUSES: Final = 5


def log_unexpected_error(logger: logging.Logger, doing: str, fault: BaseException) -> None:
    """Log an unexpected error, in one line. `doing` completes it."""
    logger.error("Unexpected error while %s: %s", doing, format_trace(fault))


def format_trace(fault: BaseException) -> str:
    """Return of which type an error is and by which lines it came, and the same of what led to it."""
    return ", because of ".join(" at ".join([type(error).__name__, *_way(error)]) for error in _chain(fault))


def _chain(fault: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it."""
    error: BaseException | None = fault
    for _ in range(_MAX_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _way(error: BaseException) -> list[str]:
    """Return the lines that an error came by, in one text; none where it was never raised."""
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    told = [
        f"{file.removeprefix(_OURS) if file.startswith(_OURS) else Path(file).name}:{line}"
        for number, (file, line) in enumerate(places, 1)
        # Of others' lines only where it was raised.
        if file.startswith(_OURS) or number == len(places)
    ]
    return [" > ".join(told)] if told else []


class ErrorGuard:
    """Contains what must not happen, and says each kind of it once.

    An error that a task lets out ends the task for good, and nobody notices. Contained, it costs the round
    that it happens in, and the next one comes. A round may come every few seconds, so each kind of error is
    logged once: the same exception, raised at the same place.
    """

    def __init__(self, logger: logging.Logger) -> None:
        """Start without any."""
        self._logger = logger
        self._known: set[tuple[type[Exception], str, int]] = set()

    def guard(self, doing: str, *, reraise: tuple[type[Exception], ...] = ()) -> Contained:
        """Give up the rest of a block at an unexpected error.

        `doing` completes the log line. What is in `but` is expected, and comes through.
        """
        return Contained(self, doing, reraise)

    def log_once(self, doing: str, fault: Exception) -> None:
        """Log a fault, unless it is known."""
        *_, (frame, line) = walk_tb(fault.__traceback__)
        kind = (type(fault), frame.f_code.co_filename, line)
        if kind not in self._known:
            self._known.add(kind)
            log_unexpected_error(self._logger, doing, fault)


class Contained(NamedTuple):
    """A block in which errors are contained. One is around every message, so it is no slow generator."""

    errors: ErrorGuard
    doing: str
    reraise: tuple[type[Exception], ...]

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _way: TracebackType | None
    ) -> bool:
        """End it. Returns whether an error ends here, too."""
        if not isinstance(error, Exception) or isinstance(error, self.reraise):
            return False
        self.errors.log_once(self.doing, error)
        return True
