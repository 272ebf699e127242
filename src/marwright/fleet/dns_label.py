"""Names of models as Kubernetes has them."""

from __future__ import annotations

import re


def dns_label(name: str) -> str:
    """Lower case letters, digits and dashes, a letter first: ``pt_classifier`` is ``pt-classifier``."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return found if found[:1].isalpha() else f"model-{found}".rstrip("-")
