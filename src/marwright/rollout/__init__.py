"""Brings a new version of a model onto a running server, and back again, without a request being lost."""

from marwright.rollout.plan import Outcome, Plan
from marwright.rollout.release import release
from marwright.rollout.reversal import Reversal, retire, roll_back
from marwright.rollout.served import Served
from marwright.rollout.verdict import Limits

__all__ = ["Limits", "Outcome", "Plan", "Reversal", "Served", "release", "retire", "roll_back"]
