"""Golden requests: texts with the answers that the exported module gave, and how far an archive's answers are off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# With dynamic activation scales answers move in the last digits with the shape of the batch. With static ones, few
# tokens take another kernel, and a value next to a rounding edge may fall to either side: on 600 customs texts alone
# and in batches of 16, probabilities were within 0.007 for 99 % of texts and 0.019 at most; another processor may add
# to that. Another model is further off than this.
TOLERANCE = 0.05


def difference(recorded: Sequence[Mapping[str, Any]], answer: Mapping[str, float]) -> float:
    """The largest difference of a probability; infinite if one of them is not a number.

    Args:
        recorded: ``{"label": …, "probability": …}``, best first.
        answer: label to probability, as many labels as are recorded. Of two labels that are nearly as likely either
            may be the last one, so a label that is missing is taken to be as likely as it can be: no more than the
            last one, and no more than what the others leave of 1.
    """
    least = min([*answer.values(), 1 - sum(answer.values())]) if answer else 0.0
    differences = [abs(one["probability"] - answer.get(one["label"], least)) for one in recorded]
    return max(value if math.isfinite(value) else math.inf for value in differences)
