"""Errors that nobody expected, in tasks that have to go on."""

from collections.abc import Iterator
from contextlib import contextmanager
import logging
from traceback import walk_tb


class Faults:
    """Contains what must not happen, and says each kind of it once.

    An error that a task lets out ends the task for good, and nobody notices. Contained, it costs the round
    that it happens in, and the next one comes. A round may come every few seconds, so each kind of error is
    logged once: the same exception, raised at the same place.
    """

    def __init__(self, logger: logging.Logger) -> None:
        """Start without any."""
        self._logger = logger
        self._known: set[tuple[type[Exception], str, int]] = set()

    @contextmanager
    def contained(self, doing: str, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Give up the rest of the block at an unexpected error.

        `doing` completes the log line. What is in `but` is expected, and comes through.
        """
        try:
            yield
        except but:
            raise
        except Exception as fault:  # noqa: BLE001 (it is said)
            self.say(doing, fault)

    def say(self, doing: str, fault: Exception) -> None:
        """Log a fault, unless it is known."""
        *_, (frame, line) = walk_tb(fault.__traceback__)
        kind = (type(fault), frame.f_code.co_filename, line)
        if kind not in self._known:
            self._known.add(kind)
            self._logger.error("Unexpected error while %s", doing, exc_info=fault)
