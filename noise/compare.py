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
    foreign: tuple[int, int, int] = (0, 0, 0)  # images in A, in B, and the same ones in both


def compare(
    a: Labels, b: Labels, clean: Labels | None = None, foreign_a: Labels | None = None, foreign_b: Labels | None = None
) -> Comparison:
    """Return how labels (N,) `a` and `b` agree, with one another and with the true ones.

    `foreign_a` and `foreign_b` (N,) tell which image of another data set a sample is, -1 for none: such a sample is
    equal to none but the same one, and its label counts as no wrong one.
    """
    for name, labels in (("second label set", b), *([("true labels", clean)] if clean is not None else [])):
        if len(labels) != len(a):
            raise ValueError(
                f"label sets to compare must be equally long: the first has {len(a)}, {name} {len(labels)}"
            )
    none = np.full(len(a), -1)
    source_a, source_b = none if foreign_a is None else foreign_a, none if foreign_b is None else foreign_b
    equal = (a == b) & (source_a == source_b)
    own_a, own_b = source_a < 0, source_b < 0
    foreign = (int((~own_a).sum()), int((~own_b).sum()), int((~own_a & (source_a == source_b)).sum()))
    if clean is None:
        return Comparison(len(a), int(equal.sum()), foreign=foreign)
    wrong_a, wrong_b = (a != clean) & own_a, (b != clean) & own_b
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
        foreign,
    )


def comparison_text(found: Comparison, a: str = "A", b: str = "B") -> str:
    """Return the comparison for a terminal; `a` and `b` name the two label sets."""

    def share(count: float) -> str:
        return f"{count:,.0f} of {found.total:,} ({100 * count / found.total:.2f} %)"

    same = "the same labels" if found.equal == found.total else "different labels"
    lines = [f"{same}: {share(found.equal)} are equal"]
    if any(found.foreign):
        of_a, of_b, both = found.foreign
        lines.append(
            f"foreign images: {of_a:,} in {a}, {of_b:,} in {b}, {both:,} the same in both; none counts as wrong"
        )
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
