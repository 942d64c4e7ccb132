"""The Western Australian survey against its own files."""

import numpy as np
import pandas as pd
import pytest

from xgeoanom.datasets.western_australia import sed1


@pytest.fixture(scope="module")
def survey(real_data):
    return sed1()


def test_raw_is_the_file(survey, real_data):
    file = pd.read_csv(real_data / "gswa_sed1" / "geochemical" / "area1_sediment_au.csv")
    assert survey.raw.sizes["sample"] == len(file) == 1392
    gold = survey.raw["concentration"].sel(element="Au").values
    measured = file["Au_ppm"].to_numpy() > 0
    np.testing.assert_allclose(gold[measured], file["Au_ppm"][measured])
    assert (survey.raw["state"].sel(element="Au").values[~measured] > 0).all()


def test_cleaned_samples_are_distinct_and_well_reported(survey):
    table = survey.survey
    assert table.sizes["sample"] == 828
    assert len(np.unique(table["sample_id"].values)) == 828
    assert not {"104743", "100924"} & set(table["batch"].values)


def test_sites_lie_among_the_samples(survey):
    assert len(survey.deposits) == 32
    assert survey.deposits.crs == survey.raw.rio.crs
    xmin, ymin, xmax, ymax = survey.deposits.total_bounds
    assert float(survey.raw["x"].min()) - 20e3 < xmin
    assert xmax < float(survey.raw["x"].max()) + 20e3
    assert float(survey.raw["y"].min()) - 20e3 < ymin
    assert ymax < float(survey.raw["y"].max()) + 20e3
