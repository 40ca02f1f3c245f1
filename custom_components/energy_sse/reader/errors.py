"""Log records of unexpected errors.

The text of an exception can contain received data or an address: a KeyError contains the key, and an OSError
the host. So an exception is logged as its type and its lines of code.
"""

import logging
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Final, NamedTuple, override

_PACKAGE: Final = f"{Path(__file__).parents[1]}/"

# Exceptions in a chain of causes, which can be a ring.
_MAX_CAUSES: Final = 5


class ExceptionFilter(logging.Filter):
    """Filter that replaces exceptions in log records by their types and lines of code.

    An exception of a type that was raised at a line is logged once, because tasks repeat every few seconds.
    """

    def __init__(self) -> None:
        """Start without logged exceptions."""
        super().__init__()
        self.logged: set[tuple[str, ...]] = set()
        """Types and lines of the logged exceptions."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record, after removing the texts of its exceptions."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, Exception):
            return True
        kind = (type(error).__name__, *_lines(error)[-1:])
        if kind in self.logged:
            return False
        self.logged.add(kind)
        record.msg, record.args = f"{record.getMessage()}: {format_trace(error)}", None
        record.exc_info = record.exc_text = None
        return True


# One for all loggers of this process.
EXCEPTION_FILTER: Final = ExceptionFilter()

LOGGER: Final = logging.getLogger(__package__)
LOGGER.addFilter(EXCEPTION_FILTER)


def format_trace(error: BaseException) -> str:
    """Return the types and the lines of code of an exception and of its causes."""
    traces: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(traces) < _MAX_CAUSES:
        lines = " > ".join(_lines(cause))
        traces.append(f"{type(cause).__name__} at {lines}" if lines else type(cause).__name__)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return ", because of ".join(traces)


def _lines(error: BaseException) -> list[str]:
    """Return the lines of this package that an exception passed, and the line that raised it."""
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    return [
        f"{file.removeprefix(_PACKAGE) if file.startswith(_PACKAGE) else Path(file).name}:{line}"
        for file, line in places
        if file.startswith(_PACKAGE) or (file, line) == places[-1]
    ]


def log_unexpected_error(logger: logging.Logger, doing: str, fault: BaseException) -> None:
    """Log an unexpected error, in one line. `doing` completes it."""
    logger.error("Unexpected error while %s: %s", doing, format_trace(fault))


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
