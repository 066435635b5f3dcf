"""Two kinds of samples by their losses: a mixture of two normal distributions (scikit-learn's)."""

import warnings

import numpy as np
from numpy.typing import NDArray


def clean_probability(losses: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
    """Posterior (N,) of the component of lower mean, for losses (N,) scaled to [0, 1].

    Settings are those of DivideMix's code (arXiv:2002.07394): at most 10 steps, tolerance .01, 5e-4 added to variances.
    Where all losses are equal nothing tells the samples apart, and all get 1. It computes on one thread, whatever the
    process may use: the sums of another number of threads round differently.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    x = np.asarray(losses, dtype=np.float64).reshape(-1, 1)
    if np.ptp(x) == 0:
        return np.ones(len(x))
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():  # ten steps are the method's; they need not converge
        warnings.simplefilter("ignore", ConvergenceWarning)
        posterior: NDArray[np.float64] = mixture.fit(x).predict_proba(x)
    return posterior[:, mixture.means_.argmin()]
