"""Per-sample losses on log-probabilities.  K networks, B samples, C classes; natural logarithms throughout.

`logp` is (..., B, C) from log_softmax in float32, `y` (B,) int64; results are (..., B).  The five *source losses* are
those of ProSelfLC (Wang et al., CVPR 2021, arXiv:2005.03788) with its notation: q the one-hot label, p the prediction,
u the uniform distribution, H(a, b) = -sum a log b, H(p) = H(p, p).  In every H(p) the gradient flows through p: with a
detached target they would all collapse to a down-weighted cross entropy.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from methods.base import Clock
from methods.schedules import sigmoid


def cross_entropy(logp: Tensor, y: Tensor) -> Tensor:
    """H(q, p) = -log p_y."""
    index = y.expand(logp.shape[:-1]).unsqueeze(-1)
    return -logp.gather(-1, index).squeeze(-1)


def entropy(logp: Tensor) -> Tensor:
    """H(p), in [0, log C]."""
    return -(logp.exp() * logp).sum(-1)


def kl(logp_from: Tensor, logp_to: Tensor) -> Tensor:
    """KL(from || to) = sum from (log from - log to); detach `logp_from` where it is a teacher."""
    return (logp_from.exp() * (logp_from - logp_to)).sum(-1)


def label_smoothing(logp: Tensor, y: Tensor, e: float) -> Tensor:
    """(1 - e) H(q, p) + e H(u, p)."""
    return (1 - e) * cross_entropy(logp, y) - e * logp.mean(-1)


def own_entropy(logp: Tensor, detach: bool = False, temperature: float = 1.0) -> Tensor:
    """H(softmax(z / T), p): what a prediction costs as its own target; H(p) itself for T = 1.

    With `detach` the target sends no gradient, as in the later ProSelfLC-AT (arXiv:2207.00118, T = .4 to .6). At T = 1
    that turns every loss built on it into a down-weighted cross entropy.
    """
    if temperature == 1 and not detach:
        return entropy(logp)
    target = (logp / temperature).softmax(-1)
    return -((target.detach() if detach else target) * logp).sum(-1)


def confidence_penalty(logp: Tensor, y: Tensor, e: float, detach: bool = False, temperature: float = 1.0) -> Tensor:
    """(1 - e) H(q, p) - e H(p)."""
    return (1 - e) * cross_entropy(logp, y) - e * own_entropy(logp, detach, temperature)


def bootstrap_soft(logp: Tensor, y: Tensor, e: float, detach: bool = False, temperature: float = 1.0) -> Tensor:
    """(1 - e) H(q, p) + e H(p): label correction with a fixed trust in the prediction."""
    return (1 - e) * cross_entropy(logp, y) + e * own_entropy(logp, detach, temperature)


def bootstrap_hard(logp: Tensor, y: Tensor, e: float) -> Tensor:
    """(1 - e) H(q, p) + e H(onehot(argmax p), p): label correction with a fixed trust in the decision."""
    return (1 - e) * cross_entropy(logp, y) - e * logp.amax(-1)


def self_trust(logp: Tensor, clock: Clock, sharpness: float, transit: float, local: str = "entropy") -> Tensor:
    """ProSelfLC's e_i = g(t) l(p_i), detached, in [0, 1]: trust in the network grows with time and confidence.

    g(t) = sigmoid(B (t - tau)) with t the clock's progress, B = `sharpness`, tau = `transit`; l(p) = 1 - H(p) / log C,
    or max p for `local` "max_prob".
    """
    sure = logp.detach()
    confidence = sure.exp().amax(-1) if local == "max_prob" else 1 - entropy(sure) / math.log(logp.shape[-1])
    grown = clock.value(lambda now: sigmoid(sharpness * (now.progress - transit)))
    return grown * confidence.clamp(0, 1)


def proselflc(logp: Tensor, y: Tensor, trust: Tensor, detach: bool = False, temperature: float = 1.0) -> Tensor:
    """(1 - e_i) H(q, p) + e_i H(p) with e_i from `self_trust`."""
    return (1 - trust) * cross_entropy(logp, y) + trust * own_entropy(logp, detach, temperature)


def corrected_label(p: Tensor, y: Tensor, trust: Tensor) -> Tensor:
    """(1 - e) q + e p for predictions (..., B, C) and trust e (..., B), without gradient; rows sum to 1."""
    onehot = (y[:, None] == torch.arange(p.shape[-1], device=y.device)).to(p.dtype)
    return torch.lerp(onehot.expand_as(p), p, trust.detach()[..., None])


Source = Callable[[Tensor, Tensor, Clock], tuple[Tensor, Tensor]]


def source_loss(
    name: str,
    *,
    e: float,
    sharpness: float,
    transit: float,
    local: str = "entropy",
    detach: bool = False,
    temperature: float = 1.0,
) -> Source:
    """Return f(logp, y, clock) -> (loss (..., B), trust in the own prediction (..., B)) of a source by name.

    Names: cce, ls, cp, bootstrap_soft, proselflc. The trust is 0 where a source does not correct labels. `detach` and
    `temperature` are those of `own_entropy`, `local` that of `self_trust`.
    """

    def fixed(loss: Callable[[Tensor, Tensor, float], Tensor], trust: float) -> Source:
        return lambda logp, y, clock: (loss(logp, y, e), torch.full_like(logp[..., 0], trust))

    def corrected(logp: Tensor, y: Tensor, clock: Clock) -> tuple[Tensor, Tensor]:
        trust = self_trust(logp, clock, sharpness, transit, local)
        return proselflc(logp, y, trust, detach, temperature), trust

    sources: dict[str, Source] = {
        "cce": fixed(lambda logp, y, _: cross_entropy(logp, y), 0.0),
        "ls": fixed(label_smoothing, 0.0),
        "cp": fixed(lambda logp, y, e: confidence_penalty(logp, y, e, detach, temperature), 0.0),
        "bootstrap_soft": fixed(lambda logp, y, e: bootstrap_soft(logp, y, e, detach, temperature), e),
        "proselflc": corrected,
    }
    if name not in sources:
        raise ValueError(f"source must be one of {', '.join(sources)}; got {name!r}")
    return sources[name]
