"""Surveys to learn on: simulated and real ones."""

from xgeoanom.datasets.remote import tianshan
from xgeoanom.datasets.synthetic import SyntheticSurvey, synthetic_survey

__all__ = ["SyntheticSurvey", "synthetic_survey", "tianshan"]
