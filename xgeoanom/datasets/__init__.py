"""Surveys to learn on: simulated and real ones."""

from xgeoanom.datasets.fetching import fetch
from xgeoanom.datasets.remote import tianshan
from xgeoanom.datasets.synthetic import SyntheticSurvey, synthetic_survey

__all__ = ["SyntheticSurvey", "fetch", "synthetic_survey", "tianshan"]
