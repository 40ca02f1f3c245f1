"""Log records of unexpected errors.

The text of an exception can contain received data or an address: a KeyError contains the key, and an OSError
the host. So an exception is logged as its type and its lines of code.
"""

import logging
from pathlib import Path
from traceback import walk_tb
from typing import Final, override

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
