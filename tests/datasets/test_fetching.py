"""Real surveys are fetched once, by their addresses, and every file is checked."""

import pytest

from xgeoanom.datasets.fetching import ADDRESSES, fetch
from xgeoanom.errors import XGeoAnomError


@pytest.mark.parametrize(
    ("survey", "n_files", "one"),
    [("tianshan", 44, "geology_weights.tif"), ("gswa_sed1", 2, "site/area1_sediment_au_site.csv")],
)
def test_registry_is_complete(survey, n_files, one, real_data, tmp_path, monkeypatch):
    """Every file is fetched by its address; a changed file is fetched anew."""
    asked, address = [], ADDRESSES[survey]

    def download(url, target, pooch):
        asked.append(url)
        with open(target, "wb") as file:
            file.write((real_data / survey / url.removeprefix(address)).read_bytes())

    monkeypatch.setenv("XGEOANOM_DATA", str(tmp_path))
    monkeypatch.setattr("pooch.core.choose_downloader", lambda *args, **kwargs: download)
    assert fetch(survey) == tmp_path / survey
    assert len(asked) == n_files
    fetch(survey)
    assert len(asked) == n_files
    (tmp_path / survey / one).write_bytes(b"")
    fetch(survey)
    assert asked[n_files:] == [f"{address}{one}"]


def test_unknown_survey():
    with pytest.raises(XGeoAnomError, match="survey='sed'.*gswa_sed1"):
        fetch("sed")
