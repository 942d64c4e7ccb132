import geopandas as gpd
import matplotlib.image
import pytest
from georeferenced import assert_georeferenced

import xgeoanom as xga
from xgeoanom import cli


@pytest.fixture
def small(monkeypatch):
    """The demo, cut to what tests can wait for."""
    monkeypatch.setattr(cli, "SHAPE", (64, 64))
    monkeypatch.setattr(cli, "INNER", 3)
    monkeypatch.setattr(cli, "OUTER", 5)
    monkeypatch.setattr(cli, "DRAWS", 1)
    monkeypatch.setattr(cli, "EPOCHS", 1)
    monkeypatch.setattr(cli, "N_FOLDS", 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:n_clusters=")  # the small district has few deposits
def test_demo_writes_every_stage(small, tmp_path, capsys):
    folder = tmp_path / "demo"
    assert cli.main(["demo", "--output", str(folder), "--seed", "1"]) == 0
    layers = {
        layer: gpd.read_file(folder / "points.gpkg", layer=layer)
        for layer in ("samples", "deposits", "faults")
    }
    assert "Au" in layers["samples"]
    assert all(len(layer) and layer.crs.is_projected for layer in layers.values())
    cube = xga.open_cube(folder / "cube.zarr")
    assert cube.dims == ("element", "y", "x")
    result = xga.open_cube(folder / "result.nc")
    assert_georeferenced(result[["ppf_cnn", "ppf_cnn_class"]], cube)
    for name in ("score.tif", "classes.tif"):
        assert xga.open_cube(folder / name).rio.crs == cube.rio.crs
    for name in ("element", "score", "classes", "capture"):
        assert matplotlib.image.imread(folder / f"{name}.png").std() > 0
    printed = capsys.readouterr().out
    table = printed[printed.index("90 % interval") :].splitlines()[1:]
    assert [row.split(":")[0] for row in table] == ["leaky", "honest", "control", "control"]


def test_quiet_demo_prints_nothing_but_the_table(capsys):
    cli._clock(quiet=True)("hidden")
    cli._clock(quiet=False)("shown")
    assert capsys.readouterr().out.split() == ["0", "s", "shown"]


def test_versions(capsys):
    assert cli.main(["versions"]) == 0
    assert "xarray: " in capsys.readouterr().out


def test_unknown_command_ends_in_usage(capsys):
    with pytest.raises(SystemExit):
        cli.main(["anomaly"])
    assert "demo" in capsys.readouterr().err
