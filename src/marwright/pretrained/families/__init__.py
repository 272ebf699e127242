"""Families that marwright's own encoder computes: one file for each. A new one joins the list below."""

from marwright.pretrained.families.bert import BERT
from marwright.pretrained.families.distilbert import DISTILBERT
from marwright.pretrained.families.family import Family, LayerNames
from marwright.pretrained.families.roberta import ROBERTA

FAMILIES: dict[str, Family] = {name: family for family in (BERT, ROBERTA, DISTILBERT) for name in family.model_types}
"""By the word that ``config.json`` has for them."""

__all__ = ["FAMILIES", "Family", "LayerNames"]
