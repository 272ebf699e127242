"""Brings a new version of a model onto a running server, and back again, without a request being lost."""

from marwright.release.plan import Outcome, Plan
from marwright.release.release import release
from marwright.release.reversal import Reversal, retire, roll_back
from marwright.release.served import Served
from marwright.release.verdict import Limits

__all__ = ["Limits", "Outcome", "Plan", "Reversal", "Served", "release", "retire", "roll_back"]
