"""What programs write, made fit to be shown: what would control a terminal, or reorder a line, is spelled out."""

from __future__ import annotations

import re

#: Control characters but the tab, and marks that change the direction of writing (Unicode's Bidi_Control).
CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    r"""Spell out the characters that would not be shown, but obeyed.

    >>> print(visible("\x1b[2Jgone"), visible("\u202egnp.exe"))
    \x1b[2Jgone \u202egnp.exe
    """
    return CONTROLS.sub(_spelled, text)


def visible_block(text: str) -> str:
    """Spell out the same in a text of several lines, and keep the lines."""
    return "\n".join(map(visible, text.split("\n")))


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def lines(text: str) -> list[str]:
    r"""Split a log into lines as a terminal would leave them: of one that was overwritten, what came last.

    >>> lines("Traceback\n 1 %\r 2 %\r\ndone\r\n")
    ['Traceback', ' 2 %', 'done']
    """
    rows = text.split("\n")
    if rows and not rows[-1]:
        rows.pop()
    return [visible(_last(row)) for row in rows]


def _last(row: str) -> str:
    """Return what stands after the last carriage return of a line that something stands after."""
    if "\r" not in row:
        return row
    return next((piece for piece in reversed(row.split("\r")) if piece.strip()), "")
