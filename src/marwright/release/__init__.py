"""Brings a new version of a model onto a running server, and back again, without a request being lost."""

from marwright.release.live_server import LiveServer
from marwright.release.plan import Outcome, Plan
from marwright.release.release import release
from marwright.release.rollback import Rollback, retire, roll_back
from marwright.release.verdict import Limits

__all__ = ["Limits", "LiveServer", "Outcome", "Plan", "Rollback", "release", "retire", "roll_back"]
