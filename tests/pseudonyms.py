"""Texts that must not contain an identity."""

import re
from typing import Final

# Replacement of an identity. It contains a random number.
_PSEUDONYM: Final = re.compile(r"anon-[0-9a-f]{8}|[0-9a-f]{4}5e5e[0-9a-f]{4}")


def assert_absent(text: str, *secrets: str) -> None:
    """Assert that a text contains no secret, in upper or lower case.

    Pseudonyms are left out, because a short secret can be part of one by chance.
    """
    searched = _PSEUDONYM.sub(" ", text.lower())
    for secret in secrets:
        assert secret.lower() not in searched, secret
