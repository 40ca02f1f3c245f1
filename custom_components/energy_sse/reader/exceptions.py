"""What can go wrong with a reader, by what to do about it.

The texts go to the log: they name neither secrets nor identities.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .auth import AuthScheme


class ReaderError(Exception):
    """Any failure of a reader."""


class ReaderConnectionError(ReaderError):
    """The device cannot be reached, or failed for the moment: try again."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        """`retry_after` is for how many seconds the device asks to be left alone."""
        super().__init__(reason)
        self.retry_after = retry_after


class ReaderDisconnectedError(ReaderConnectionError):
    """The device ended a connection that it had taken, or that got no further: try again.

    What a device does when it restarts, and one with a single stream when another client takes it.
    """


class ReaderStreamEndedError(ReaderDisconnectedError):
    """The device ended a stream that it had begun."""


class ReaderAuthenticationError(ReaderError):
    """The device wants a password, or another one: ask the user."""


class ReaderAuthDowngradeError(ReaderAuthenticationError):
    """The device wants the password more openly than before, or none any more: ask the user.

    Another device could do so in its place.
    """

    def __init__(self, scheme: AuthScheme) -> None:
        """`scheme` is what the device is content with."""
        super().__init__("the device asks for a weaker authentication scheme than before")
        self.scheme = scheme


class ReaderProtocolError(ReaderError):
    """Something answers that is no reader of this kind: ask the user, or try again when it may change."""


class ReaderMismatchError(ReaderProtocolError):
    """A reader answers, but not the one that should: ask the user."""

    def __init__(self, found: str | None) -> None:
        """`found` is what the one is called that answers; None for one that asks for a password first.

        The text does not say so: it goes to the log.
        """
        super().__init__("another device answers at this address")
        self.found = found
