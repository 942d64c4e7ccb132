"""Surveys to learn on: simulated and real ones."""

from xgeoanom.datasets.fetching import fetch
from xgeoanom.datasets.remote import tianshan
from xgeoanom.datasets.synthetic import SyntheticSurvey, synthetic_survey
from xgeoanom.datasets.western_australia import Sed1Survey, sed1

__all__ = ["Sed1Survey", "SyntheticSurvey", "fetch", "sed1", "synthetic_survey", "tianshan"]
