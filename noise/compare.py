"""Two label sets held against each other: are they the same, and if not, how do they overlap?"""

from dataclasses import dataclass

import numpy as np

from noise.draws import Labels


@dataclass(frozen=True)
class Comparison:
    """Counts over the N samples of two label sets; those about wrong labels are None without true labels.

    `chance` is how many samples would be wrong in both if each class's wrong ones were drawn apart.
    """

    total: int
    equal: int
    wrong_a: int | None = None
    wrong_b: int | None = None
    wrong_both: int | None = None
    same_wrong: int | None = None  # wrong in both, and with the same label
    chance: float | None = None


def compare(a: Labels, b: Labels, clean: Labels | None = None) -> Comparison:
    """Return how labels (N,) `a` and `b` agree, with one another and with the true ones."""
    for name, labels in (("second label set", b), *([("true labels", clean)] if clean is not None else [])):
        if len(labels) != len(a):
            raise ValueError(
                f"label sets to compare must be equally long: the first has {len(a)}, {name} {len(labels)}"
            )
    equal = a == b
    if clean is None:
        return Comparison(len(a), int(equal.sum()))
    wrong_a, wrong_b = a != clean, b != clean
    both = wrong_a & wrong_b
    chance = 0.0
    for label in np.unique(clean):
        members = clean == label
        chance += float(wrong_a[members].sum()) * float(wrong_b[members].sum()) / float(members.sum())
    return Comparison(
        len(a),
        int(equal.sum()),
        int(wrong_a.sum()),
        int(wrong_b.sum()),
        int(both.sum()),
        int((both & equal).sum()),
        chance,
    )


def comparison_text(found: Comparison, a: str = "A", b: str = "B") -> str:
    """Return the comparison for a terminal; `a` and `b` name the two label sets."""

    def share(count: float) -> str:
        return f"{count:,.0f} of {found.total:,} ({100 * count / found.total:.2f} %)"

    same = "the same labels" if found.equal == found.total else "different labels"
    lines = [f"{same}: {share(found.equal)} are equal"]
    if found.wrong_a is None or found.wrong_b is None or found.wrong_both is None or found.same_wrong is None:
        return "\n".join([*lines, "true labels unknown: wrong ones cannot be counted (give --clean or --dataset)"])
    either = found.wrong_a + found.wrong_b - found.wrong_both
    jaccard = found.wrong_both / either if either else 1.0
    lines += [
        f"wrong in {a}: {share(found.wrong_a)}",
        f"wrong in {b}: {share(found.wrong_b)}",
        f"wrong in both: {share(found.wrong_both)}; {found.chance or 0:,.0f} if drawn apart; "
        f"{100 * jaccard:.1f} % of those wrong in either",
    ]
    if found.wrong_both:
        lines.append(
            f"wrong in both and with the same label: {share(found.same_wrong)}, "
            f"{100 * found.same_wrong / found.wrong_both:.1f} % of those wrong in both"
        )
    if found.wrong_both in (found.wrong_a, found.wrong_b) and found.equal < found.total:
        inner, outer = (a, b) if found.wrong_both == found.wrong_a else (b, a)
        lines.append(f"nested: what is wrong in {inner} is wrong in {outer} too")
    return "\n".join(lines)
