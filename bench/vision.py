"""The one door to torchvision, which also opens beside a torch that it was not built for."""

import importlib
import importlib.metadata
import re
import sys
import warnings
from types import ModuleType

_libraries: list[object] = []  # operator declarations vanish with the object that made them


def torchvision() -> ModuleType:
    """Import torchvision; where its compiled part does not load, make do with its Python part.

    Then one RuntimeWarning names both versions, and networks, transforms and data sets work; `ops.nms`,
    `ops.deform_conv2d` and `torchvision.io` do not. Raises ModuleNotFoundError where it is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise ModuleNotFoundError("this needs torchvision, which is not installed; pip install torchvision") from None
    except RuntimeError as error:
        # The compiled part declares these operators, and the Python part refuses to go on without them.
        if not re.search(r"operator torchvision::q?nms does not exist", str(error)):
            raise
    return _without_compiled_part()


def _without_compiled_part() -> ModuleType:
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # a half-imported module would be taken for a whole one
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)
    warnings.warn(
        f"torchvision {importlib.metadata.version('torchvision')} was not built for torch {torch.__version__}: "
        "its compiled operators are missing; the rest of it works",
        RuntimeWarning,
        stacklevel=3,
    )
    return importlib.import_module("torchvision")
