"""What can go wrong with a reader, by what to do about it.

The texts go to the log: they name neither secrets nor identities.
"""

from .messages import ReaderInfo


class ReaderError(Exception):
    """Any failure of a reader."""


class ReaderConnectionError(ReaderError):
    """The device cannot be reached, or failed for the moment: try again."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        """`retry_after` is for how many seconds the device asks to be left alone."""
        super().__init__(reason)
        self.retry_after = retry_after


class ReaderHungUpError(ReaderConnectionError):
    """The device ended a connection that it had taken, or that got no further: try again.

    What a device does when it restarts, and one with a single stream when another client takes it.
    """


class ReaderAuthenticationError(ReaderError):
    """The device wants a password, or another one: ask the user."""


class ReaderProtocolError(ReaderError):
    """Something answers that is no reader of this kind: ask the user, or try again when it may change."""


class ReaderMismatchError(ReaderProtocolError):
    """A reader answers, but not the one that should: ask the user."""

    def __init__(self, found: ReaderInfo) -> None:
        """`found` is the one that answers."""
        super().__init__("another device answers at this address")
        self.found = found
