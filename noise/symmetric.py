"""Symmetric noise: a wrong label is any other class, all alike.

van Rooyen et al., NeurIPS 2015, arXiv:1505.07634; as a benchmark, Patrini et al., CVPR 2017, arXiv:1609.03683.
"Symmetric r" has two meanings in print. Exclusive: a flip never lands on the true class, T[i, i] = 1 - r and
T[i, j] = r / (C - 1), so r of the labels are wrong. Inclusive: it may, T = (1 - r) I + r / C, so r (1 - 1/C) are.
`native` is exclusive and `inclusive` its inclusive twin, in the same stream: inclusive r is native r (1 - 1/C). The
other dialects repeat published code, draw for draw; their loops are in noise/symmetric_draws.py.
"""

from dataclasses import dataclass
from typing import ClassVar

from noise import symmetric_draws as draws
from noise.base import Request
from noise.by_class import flipped
from noise.families import Dialect, Drawn, register
from noise.matrices import exclusive
from noise.meta import N_META, MetaFamily


@register("symmetric")
@dataclass(frozen=True)
class Symmetric(MetaFamily):
    """A wrong label is any other class, all alike."""

    def native(self, request: Request) -> Drawn:
        """Flip the rate asked for."""
        return flipped(request, exclusive(request.rate, request.num_classes), request.rate)

    def inclusive(self, request: Request) -> Drawn:
        """Flip what is left of the rate when the true class may be drawn too."""
        rate = request.rate * (1 - 1 / request.num_classes)
        return flipped(request, exclusive(rate, request.num_classes), rate)

    dialects: ClassVar = {
        "native": Dialect(
            draw=native,
            definition="the rate is the wrong share; exact in every class, in total, or drawn per sample",
            used_by="this harness",
            convention="exclusive",
            flips="exact per class",
            generator="PCG64",
            formula="T[i, i] = 1 - r, T[i, j] = r / (C - 1)",
            effective="r",
            source="arXiv:1609.03683, Sec. 5",
            ours=True,
        ),
        "inclusive": Dialect(
            draw=inclusive,
            definition="a flip takes any class, the true one too; exact in every class, in total, or drawn per sample",
            used_by="this harness",
            convention="inclusive",
            flips="exact per class",
            generator="PCG64",
            formula="T = (1 - r) I + r / C",
            effective="r (1 - 1/C)",
            source="arXiv:2002.07394, Sec. 4.1",
            ours=True,
        ),
        "co_teaching": Dialect(
            draw=draws.co_teaching,
            definition="one multinomial draw per sample; the rate is the expected wrong share",
            used_by="loss-correction, Co-teaching(+), JoCoR, T-Revision, CDR, CoDis, CORES, PES, PLC",
            convention="exclusive",
            flips="iid",
            generator="RandomState",
            formula="T[i, i] = 1 - r, T[i, j] = r / (C - 1)",
            effective="r ± sqrt(r (1 - r) / N)",
            source="github.com/bhanML/Co-teaching",
        ),
        "dividemix": Dialect(
            draw=draws.dividemix,
            definition="an exact share of all samples takes any class, the true one too",
            used_by="DivideMix and code built on it",
            convention="inclusive",
            flips="exact overall",
            generator="Random",
            formula="int(rN) shuffled samples take a class drawn from all C",
            effective="r (1 - 1/C)",
            source="github.com/LiJunnan1992/DivideMix",
        ),
        "badlabels": Dialect(
            draw=draws.badlabels,
            definition="an exact share of all samples takes one of the other classes",
            used_by="BadLabels, FedNoisy",
            convention="exclusive",
            flips="exact overall",
            generator="Random",
            formula="int(rN) shuffled samples take one of the C - 1 others",
            effective="int(rN) / N",
            source="github.com/zjfheart/BadLabels",
        ),
        "elr": Dialect(
            draw=draws.elr,
            definition="an exact share of all samples takes any class, the true one too, in permuted order",
            used_by="ELR(+), SOP, GJS, DISC, Co-learning, Joint Optimization",
            convention="inclusive",
            flips="exact overall",
            generator="RandomState",
            formula="the first k < rN permuted samples take a class drawn from all C",
            effective="r (1 - 1/C)",
            source="github.com/shengliu66/ELR",
        ),
        "pencil": Dialect(
            draw=draws.pencil,
            definition="drawn per sample, the true class included, on the first nine tenths; the rest stays clean",
            used_by="PENCIL",
            convention="inclusive",
            flips="per sample, first nine tenths",
            generator="RandomState",
            formula="T = (1 - r) I + r / C on the first 9N/10, I on the rest",
            effective="r (1 - 1/C) of the first nine tenths",
            source="github.com/yikun2019/PENCIL",
        ),
        "mwnet": Dialect(
            draw=draws.mwnet,
            definition="drawn per sample, class by class, the true class included; n_meta samples stay clean",
            used_by='Meta-Weight-Net "unif"',
            convention="inclusive",
            flips="per sample, but for the clean ones",
            generator="RandomState",
            formula="T = (1 - r) I + r / C on all but n_meta = 1,000 samples",
            effective="r (1 - 1/C) of the others",
            source="github.com/xjtushujun/meta-weight-net",
            defaults={"n_meta": N_META},
        ),
        "proselflc": Dialect(
            draw=draws.proselflc,
            definition="an exact share of all samples takes one of the other classes, in shuffled order",
            used_by="ProSelfLC",
            convention="exclusive",
            flips="exact overall",
            generator="Random",
            formula="int(rN) shuffled samples take one of the C - 1 others",
            effective="int(rN) / N",
            source="github.com/XinshaoAmosWang/ProSelfLC-CVPR2021",
        ),
        "moit": Dialect(
            draw=draws.moit,
            definition="an exact share of all samples, each drawn again until it leaves its class",
            used_by="MOIT(+)",
            convention="exclusive",
            flips="exact overall",
            generator="RandomState",
            formula="int(rN) permuted samples take a class drawn until it is another one",
            effective="int(rN) / N",
            source="github.com/DiegoOrtego/LabelNoiseMOIT",
        ),
        "sce": Dialect(
            draw=draws.sce,
            definition="equally many of every class take one of the other classes; the rate is a whole percentage",
            used_by="SCE",
            convention="exclusive",
            flips="exact and equal per class",
            generator="RandomState",
            formula="int(int(pN / 100) / C) samples of every class, p = 100 r, take one of the C - 1 others",
            effective="r, up to truncation",
            source="github.com/YisenWang/symmetric_cross_entropy_for_noisy_labels",
        ),
        "apl": Dialect(
            draw=draws.apl,
            definition="equally many of every class take one of the other classes",
            used_by="Active-Passive Losses",
            convention="exclusive",
            flips="exact and equal per class",
            generator="RandomState",
            formula="int(int(rN) / C) samples of every class take one of the C - 1 others",
            effective="r, up to truncation",
            source="github.com/HanxunH/Active-Passive-Losses",
        ),
        "anl": Dialect(
            draw=draws.anl,
            definition="exact in every cell of the transition matrix, truncated",
            used_by="Active Negative Loss",
            convention="exclusive",
            flips="exact per cell",
            generator="RandomState",
            formula="int(T[i, j] N_i) samples go from i to j, T[i, j] = r / (C - 1)",
            effective="at most r",
            source="github.com/Virusdoll/Active-Negative-Loss",
        ),
    }
