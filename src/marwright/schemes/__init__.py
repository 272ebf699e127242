"""In which numbers a module computes: one file for each scheme. A new one joins the list below."""

from marwright.schemes.dynamic_int8 import DynamicInt8
from marwright.schemes.float32 import Float32
from marwright.schemes.half import BF16, FP16
from marwright.schemes.scheme import Fitted, Scheme, Texts, Weights
from marwright.schemes.static_int8 import StaticInt8

# Of several that a configuration allows, the first is preferred.
SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (StaticInt8(), DynamicInt8(), Float32(), FP16, BF16)}
FLOAT, DYNAMIC, STATIC = Float32.name, DynamicInt8.name, StaticInt8.name

__all__ = ["DYNAMIC", "FLOAT", "SCHEMES", "STATIC", "Fitted", "Scheme", "Texts", "Weights"]
