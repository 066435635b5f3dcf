"""What a method says of itself to a reader: where it comes from, what was changed, what its users tune."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Card:
    """Shown by `list methods --card NAME`, with the paper's id, defaults, needs and presets of the class beside it."""

    title: str  # of the paper, with authors and venue
    equations: str  # what is computed, and where the paper says so
    code: str = ""  # the authors' repository and its licence; "" where none is known
    defaults: str = ""  # where the default hyper-parameters come from
    deviations: tuple[str, ...] = ()  # from the paper or from the authors' code
    reference: str = ""  # what compat="reference" repeats of the authors' code; "" where there is no such switch
    tuned: str = ""  # which settings its users choose per noise setting; "" where one setting serves all
