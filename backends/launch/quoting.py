"""Values of a spec in bash: quoted, so that no text of a spec is ever read as code."""

from __future__ import annotations

import shlex


def quoted(text: str) -> str:
    """One word of bash that means exactly `text`, on one line. ValueError for a NUL, which bash
    cannot hold."""
    if "\0" in text:
        raise ValueError("bash has no text with a NUL in it")
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(character) for character in text) + "'"


def _escaped(character: str) -> str:
    """Inside `$'...'`; a character that does not print goes in as its UTF-8 bytes."""
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
