"""What can go wrong with a reader, by what to do about it.

The texts go to the log: they name neither secrets nor identities.
"""


class ReaderError(Exception):
    """Any failure of a reader."""


class ReaderConnectionError(ReaderError):
    """The device cannot be reached, or failed for the moment: try again."""


class ReaderAuthenticationError(ReaderError):
    """The device wants a password, or another one: ask the user."""


class ReaderProtocolError(ReaderError):
    """Something answers that is no reader of this kind."""
