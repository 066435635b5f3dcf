"""Who gets a wrong label: noise families, the specs that name them and the cards that say what came out.

Shape letters of this package: N samples, C classes. Labels are int64 in 0..C-1, rates are shares in [0, 1).
Needs numpy; a family that needs more imports it when it draws. A family is added by adding its file.
"""

import importlib
import pkgutil

from noise.base import Corruption, Request, corrupt, noise_id
from noise.card import card
from noise.card_text import card_line, card_text, matrix_text
from noise.families import Dialect, Drawn, Injector, available, describe, family_of, register
from noise.files import from_bytes, to_bytes
from noise.formats import write_labels
from noise.spec import NoiseSpec, dialect_of

for _module in pkgutil.iter_modules(__path__):  # each family registers itself on import
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Corruption",
    "Dialect",
    "Drawn",
    "Injector",
    "NoiseSpec",
    "Request",
    "available",
    "card",
    "card_line",
    "card_text",
    "corrupt",
    "describe",
    "dialect_of",
    "family_of",
    "from_bytes",
    "matrix_text",
    "noise_id",
    "register",
    "to_bytes",
    "write_labels",
]
