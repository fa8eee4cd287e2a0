"""The autoencoder against the best linear code of the same length: the principal components of the same pictures."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.models.autoencoder import autoencoder
from dlcore.nn.criterion import MSECriterion
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.trigger import MaxEpoch
from dlcore.rng import RNG
from sample_data.digits import digits


@pytest.mark.convergence
def test_unseen_digits_are_restored_better_than_by_principal_components() -> None:
    pictures, unseen = (
        digits(count, seed)[0].reshape(count, -1) / np.float32(255) for count, seed in ((6000, 0), (1000, 1))
    )
    RNG.set_seed(1)
    model = autoencoder(32)
    method = Adam(1e-3)
    Optimizer(model, (pictures, pictures), MSECriterion(), MaxEpoch(80), 32, method, is_quiet=True).optimize()
    mean = pictures.mean(axis=0)
    components = np.linalg.svd(pictures - mean, full_matrices=False)[2][:32]
    restored = {
        "autoencoder": model.evaluate().forward(unseen),
        "principal components": (unseen - mean) @ components.T @ components + mean,
        "mean picture": mean,
    }
    errors = {name: float(np.square(picture - unseen).mean()) for name, picture in restored.items()}
    print(f"squared error: {errors}")
    assert errors["autoencoder"] < errors["principal components"]
    assert errors["autoencoder"] < 0.5 * errors["mean picture"]
