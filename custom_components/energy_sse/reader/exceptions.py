"""Errors of a reader, classified by how to handle them.

Their texts are logged, so they contain neither secrets nor identities.
"""

from .models import AuthScheme


class ReaderError(Exception):
    """Error of a reader."""


class ReaderConnectionError(ReaderError):
    """The device cannot be reached, or fails temporarily: try again."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        """Create the error. `retry_after` is the seconds until the device accepts requests again."""
        super().__init__(reason)
        self.retry_after = retry_after


class ReaderStreamEndedError(ReaderConnectionError):
    """The device ended an event stream: try again.

    It was restarted, or it serves one stream and another client has opened it.
    """


class ReaderAuthenticationError(ReaderError):
    """The device rejects the credentials, or requires some: ask the user."""


class ReaderAuthDowngradeError(ReaderAuthenticationError):
    """The device asks for a weaker authentication scheme than before: ask the user.

    It can be another device that imitates the reader to get the password, or to send false values.
    """

    def __init__(self, scheme: AuthScheme) -> None:
        """Create the error. `scheme` is the scheme that the device accepts."""
        super().__init__("the device asks for a weaker authentication scheme than before")
        self.scheme = scheme


class ReaderProtocolError(ReaderError):
    """The response is not one of this kind of reader: ask the user, or try again after a firmware update."""


class ReaderMismatchError(ReaderProtocolError):
    """Another reader responds at the address: ask the user."""

    def __init__(self, found: str | None) -> None:
        """Create the error. `found` is the name of the other reader, None if that requires credentials.

        The text does not contain the name, because it is logged.
        """
        super().__init__("another device responds at this address")
        self.found = found
