"""Golden requests: texts with the answers that the exported module gave, and how far other answers may be off."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marwright.mar import layout
from marwright.mar.abstention import probabilities_in
from marwright.mar.protocol import Body
from marwright.mar.reading import member_of

# With dynamic activation scales answers move in the last digits with the shape of the batch. With static ones, few
# tokens take another kernel, and a value next to a rounding edge may fall to either side: on 600 customs texts alone
# and in batches of 16, probabilities were within 0.007 for 99 % of texts and 0.019 at most; another processor may add
# to that. Another model is further off than this.
TOLERANCE = 0.05


@dataclass(frozen=True)
class GoldenRequest:
    """A text with its recorded answer: ``{"label": …, "probability": …}`` for each label, best first.

    The answer is empty where a handler of its own answers: nobody has recorded that.
    """

    text: str
    answer: Sequence[Mapping[str, Any]] = ()

    def request(self, field: str = "text") -> dict[str, Any]:
        """Ask for as many labels as are recorded; the text stands in ``field``."""
        return {field: self.text} | ({"top_k": len(self.answer)} if self.answer else {})

    def body(self, field: str = "text") -> Body:
        """The same for a worker."""
        return Body(json.dumps(self.request(field)).encode())

    def off(self, answer: Any) -> float:
        """The largest difference of a probability; infinite if one is not a number, or ``answer`` is none of this kind.

        Args:
            answer: label to probability, also of a handler that abstains, as many labels as are recorded. Of two labels
                that are nearly as likely either may be the last one, so a label that is missing is taken to be as
                likely as it can be: no more than the last one, and no more than what the others leave of 1.
        """
        try:
            found = probabilities_in(answer)
            least = min([*found.values(), 1 - sum(found.values())]) if found else 0.0
            differences = [abs(one["probability"] - found.get(one["label"], least)) for one in self.answer]
        except (TypeError, KeyError, AttributeError, ArithmeticError):
            return math.inf
        return max(value if math.isfinite(value) else math.inf for value in differences)

    def off_in(self, body: bytes) -> float:
        """The same for an answer as a worker sends it."""
        try:
            return self.off(json.loads(body))
        except (ValueError, RecursionError):
            return math.inf

    def mistake(self, answer: Any) -> str:
        """Say what is wrong with an answer; empty if it is within the tolerance."""
        off = self.off(answer)
        return "" if off <= TOLERANCE else f"{self.text[:60]!r} has a probability that is {off:.3f} off"


def parsed(written: bytes) -> list[GoldenRequest]:
    """Read the file of golden requests.

    Raises:
        ValueError: it is not what marwright writes there.
    """
    try:
        return checked(json.loads(written))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def checked(found: Any) -> list[GoldenRequest]:
    """The same for what its JSON says already."""
    try:
        return [_checked(request) for request in found]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no list of texts with answers: {error}") from error


def _checked(request: Any) -> GoldenRequest:
    text, answer = request["text"], request.get("answer", [])
    if not isinstance(text, str) or not isinstance(answer, list):
        raise TypeError("a request is a text with a list of labels")
    return GoldenRequest(text, [{"label": one["label"], "probability": one["probability"]} for one in answer])


def golden_of(archive: Path) -> list[GoldenRequest]:
    """The golden requests of an archive; none if it carries none that can be read: verifying it says why.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    try:
        return parsed(member_of(archive, layout.GOLDEN) or b"[]")
    except ValueError:
        return []
