"""Text that somebody else wrote, made safe to stand in a page, a drawing or Markdown without losing what it says."""

from __future__ import annotations

import re
import unicodedata

# Beside controls: what breaks a line, is half a character, or turns the direction of everything that follows.
_NEVER_SHOWN = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufffe\uffff")
# Letters and digits with what means nothing in Markdown between them; a digit or a dash in front would begin a list.
_BETWEEN = r"[ ,;'’/.()?!%\"+=#–—-]"
_PLAIN = re.compile(rf"[^\W\d_][^\W_]*(?:(?:{_BETWEEN}|_+(?=[^\W_]))+[^\W_]+)*{_BETWEEN}*")


def one_line(text: str) -> str:
    """A text on one line: control characters, line breaks and direction overrides are written as escapes."""
    return "".join(ascii(one)[1:-1] if _is_hidden(one) else one for one in text)


def _is_hidden(character: str) -> bool:
    return character in _NEVER_SHOWN or unicodedata.category(character) in ("Cc", "Cs")


def in_markdown(text: str) -> str:
    """A text as it reads in CommonMark and GitHub's Markdown: plain if nothing in it is markup, else a code span."""
    line = one_line(text)
    return line if _PLAIN.fullmatch(line) and "www." not in line.lower() else code_span(line)


def code_span(text: str) -> str:
    """A text as code in Markdown, whatever backticks it has."""
    line = one_line(text)
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    # A code span loses one blank at either end, and its ends may not be backticks.
    return f"{fence} {line} {fence}" if line[:1] in ("`", " ") or line[-1:] in ("`", " ") else f"{fence}{line}{fence}"
