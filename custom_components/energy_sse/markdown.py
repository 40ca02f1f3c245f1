"""Texts of devices where Home Assistant renders Markdown: in the descriptions of dialogs and repairs."""

import re
from typing import Final

_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")


def escape(text: str) -> str:
    """Return the Markdown that shows a line of text as it is, without links, pictures or emphasis."""
    # Markdown lets all punctuation of ASCII be escaped, also where it means nothing.
    return _PUNCTUATION.sub(r"\\\g<0>", text)
