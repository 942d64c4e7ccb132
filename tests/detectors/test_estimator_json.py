"""Estimators as JSON: what a file may name, and what it may not."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from xgeoanom.detectors.estimator_json import from_json, to_json
from xgeoanom.errors import ModelFileError


@pytest.mark.parametrize(
    "path", ["os.system", "subprocess.Popen", "sklearn.os.system", "sklearn.show_versions", "SVC"]
)
def test_files_name_estimators_alone(path):
    entry = {**to_json(SVC()), "class": path}
    with pytest.raises(ModelFileError, match="no estimator"):
        from_json(entry)


def test_files_cannot_point_at_a_cache():
    entry = to_json(make_pipeline(GaussianNB()))
    entry["params"]["memory"] = "cache"
    with pytest.raises(ModelFileError, match="memory"):
        from_json(entry)


def test_numbers_of_numpy_are_numbers():
    entry = json.loads(json.dumps(to_json(LogisticRegression(C=np.float32(0.5)))))
    assert from_json(entry).C == 0.5


def test_another_version_is_told_of():
    entry = json.loads(json.dumps(to_json(SVC(C=3.0))))
    assert entry["class"] == "sklearn.svm.SVC"
    with pytest.warns(UserWarning, match=r"0\.1\.0.*scores may differ"):
        assert from_json({**entry, "version": "0.1.0"}).C == 3.0
