"""Which record a model is shown for each document, in each evaluation arm."""

import numpy as np

from eval.config import Arm
from geo_nemo.config import UserError
from geo_nemo.data import conditions
from geo_nemo.data.conditions import generator

__all__ = ["donors", "generator"]

# The arms by the names of geo_nemo.data.conditions.
CONDITIONS: dict[Arm, str] = {
    "with": conditions.WITH,
    "without": conditions.WITHOUT,
    "shuffled": conditions.SHUFFLED,
    "wrong_country": conditions.WRONG,
}


def donors(arm: Arm, told: np.ndarray, seed: int, what: str) -> np.ndarray | None:
    """`geo_nemo.data.conditions.donors` of an arm; its error says how to go on."""
    try:
        return conditions.donors(CONDITIONS[arm], told, seed, what)
    except UserError as error:
        raise UserError(f"arm {arm}: {error}: leave it out of arms=") from None
