"""Simulated surveys, which tests and tutorials begin with."""

from xgeoanom.datasets import synthetic_survey


class Synthetic:
    """Cells of the district; 39 elements."""

    params = ([32, 256],)
    param_names = ("side",)

    def time_synthetic_survey(self, side):
        synthetic_survey(seed=0, shape=(side, side), n_deposits=3)
