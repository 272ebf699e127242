"""What a reader sees of a name or a label: two that look the same are easily taken for one."""

from __future__ import annotations

import re
import unicodedata

# Unicode's Default_Ignorable_Code_Point: no program draws them.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSEEN = re.compile(f"[{_IGNORABLE}]")
_SEEN = re.compile(rf"[^\s{_IGNORABLE}]")


def seen(text: str) -> str:
    """Without blanks around it and characters that are not drawn, and each letter written in one way (NFKC)."""
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).strip()


def is_blank(text: str) -> bool:
    """Whether nothing of a text is seen."""
    return _SEEN.search(text) is None
