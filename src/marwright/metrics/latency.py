"""How long calls take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass
class Latencies:
    """Times of calls in milliseconds, in their order, of which the first ``warm_up`` are not counted."""

    warm_up: int = 0
    _ms: list[float] = field(default_factory=list)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Time the block as one call."""
        started = time.perf_counter()
        yield
        self._ms.append(1000 * (time.perf_counter() - started))

    @property
    def ms(self) -> list[float]:
        """The counted times; all of them if there are no more than the warm-up takes."""
        return self._ms[self.warm_up :] or self._ms

    def percentile(self, percent: float) -> float:
        """Milliseconds, interpolated between two calls; needs one call at least."""
        return float(np.percentile(self.ms, percent))


def percentile(values: npt.NDArray[np.float64], percent: float) -> float:
    """The smallest of ``values`` that at least ``percent`` % of them do not exceed: always one that was measured."""
    ordered = np.partition(values, at := max(math.ceil(values.size * percent / 100 - 1e-9) - 1, 0))
    return float(ordered[at])
