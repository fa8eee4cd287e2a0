"""An autoencoder with one hidden layer (Hinton and Salakhutdinov 2006), as BigDL builds it for digits."""

from __future__ import annotations

from dlcore.nn.container import Sequential
from dlcore.nn.layer import Linear, ReLU, Reshape, Sigmoid


def autoencoder(code_size: int = 32, input_size: int = 28 * 28) -> Sequential:
    """Pictures (N, ...) of `input_size` numbers in [0, 1] -> the same restored, (N, input_size). 50,992 parameters by
    default.

    The layer `code` gives the code, (N, code_size). To train: MSECriterion against the picture itself.
    Source: BigDL's Autoencoder.
    """
    model = Sequential().add(Reshape([input_size]))
    model.add(Linear(input_size, code_size).set_name("encoder")).add(ReLU(True).set_name("code"))
    return model.add(Linear(code_size, input_size).set_name("decoder")).add(Sigmoid())
