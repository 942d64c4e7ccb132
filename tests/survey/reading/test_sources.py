"""Files of every kind, whole and broken."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest

from xgeoanom.errors import CubeError
from xgeoanom.survey.reading.sources import open_source


def frame(n=200):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"id": [f"{k:04d}" for k in range(n)], "Au_ppb": rng.random(n), "Cu_ppm": rng.random(n)}
    )


def points(n=200):
    places = gpd.points_from_xy(np.arange(n), np.arange(n))
    return gpd.GeoDataFrame(frame(n), geometry=places, crs=32650)


WRITERS = {
    ".csv": lambda path: frame().to_csv(path, index=False),
    ".tsv": lambda path: frame().to_csv(path, index=False, sep="\t"),
    ".xlsx": lambda path: frame().to_excel(path, index=False),
    ".parquet": lambda path: frame().to_parquet(path),
    ".gpkg": lambda path: points().to_file(path),
}


@pytest.fixture(params=WRITERS)
def path(request, tmp_path):
    path = tmp_path / f"assays{request.param}"
    WRITERS[request.param](path)
    return path


def test_reads_whole_files(path):
    read = open_source(str(path), text=["id"])
    assert read.name == path.name
    pd.testing.assert_frame_equal(
        pd.DataFrame(read.frame[list(frame())]).reset_index(drop=True), frame(), check_dtype=False
    )
    first = 2 if path.suffix in (".csv", ".tsv", ".xlsx") else 0
    assert read.frame.index[0] == first


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_refuses_truncated_files(path, share):
    content = path.read_bytes()
    cut = int(share * len(content))
    if path.suffix in (".csv", ".tsv"):
        cut = content.rfind(b"," if path.suffix == ".csv" else b"\t", 0, cut)  # within a row
    path.write_bytes(content[:cut])
    with pytest.raises(CubeError, match=rf"assays\{path.suffix}.*(complete)"):
        open_source(path, text=())


def test_refuses_empty_files(path):
    path.write_bytes(b"")
    with pytest.raises(CubeError, match="assays"):
        open_source(path, text=())


def test_refuses_files_without_rows(tmp_path):
    path = tmp_path / "assays.csv"
    path.write_text("Au_ppb,Cu_ppm\n,\n")
    with pytest.raises(CubeError, match="no rows"):
        open_source(path, text=())


def test_folder_of_partitions_is_one_table(tmp_path):
    whole = points()
    folder = tmp_path / "assays"
    folder.mkdir()
    for k in range(2):  # each counts its rows from 0
        whole.iloc[k::2].reset_index(drop=True).to_parquet(folder / f"part.{k}.parquet")
    read = open_source(folder, text=()).frame
    expected = pd.concat([whole.iloc[0::2], whole.iloc[1::2]], ignore_index=True)
    pd.testing.assert_frame_equal(pd.DataFrame(read), pd.DataFrame(expected))
    assert read.crs == whole.crs
    (tmp_path / "empty").mkdir()
    with pytest.raises(CubeError, match="without .parquet files"):
        open_source(tmp_path / "empty", text=())


def test_partitions_that_do_not_fit_are_named(tmp_path):
    whole = points()
    last = whole.columns[0]
    for k, part in enumerate([whole.drop(columns=last), whole]):
        part.to_parquet(tmp_path / f"part.{k}.parquet")
    with pytest.raises(CubeError, match=rf"part.1.parquet and part.0.parquet .* \['{last}'\]"):
        open_source(tmp_path, text=())
    (tmp_path / "part.1.parquet").write_bytes(b"PAR1")
    with pytest.raises(CubeError, match=r"part.1.parquet cannot be read"):
        open_source(tmp_path, text=())


def test_partitions_with_text_in_one(tmp_path):
    pd.DataFrame({"Au": [1.5, 2.0]}).to_parquet(tmp_path / "part.0.parquet")
    pd.DataFrame({"Au": ["<0.5", "3"]}).to_parquet(tmp_path / "part.1.parquet")
    assert open_source(tmp_path, text=()).frame["Au"].tolist() == [1.5, 2.0, "<0.5", "3"]


def test_geoparquet_has_places(tmp_path):
    points().to_parquet(tmp_path / "assays.parquet")
    read = open_source(tmp_path / "assays.parquet", text=())
    assert isinstance(read.frame, gpd.GeoDataFrame)
    assert read.frame.crs.to_epsg() == 32650


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a;b;c\n1;0,5;x\n", {"a": [1], "b": ["0,5"], "c": ["x"]}),
        ("\ufeffa,b\n1,2\n", {"a": [1], "b": [2]}),
        ('a,b\n1,"2,3"\n', {"a": [1], "b": ["2,3"]}),
        ('a,b\n1,"x\ny"\n', {"a": [1], "b": ["x\ny"]}),
    ],
)
def test_separators_and_quotes(tmp_path, text, columns):
    path = tmp_path / "assays.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert open_source(path, text=()).frame.to_dict("list") == columns


def test_rows_keep_the_numbers_of_the_file(tmp_path):
    path = tmp_path / "assays.csv"
    path.write_text("a,b\n1,2\n\n,\n3,4\n")
    assert open_source(path, text=()).frame.index.tolist() == [2, 5]


def test_excel_with_one_filled_sheet(tmp_path):
    with pd.ExcelWriter(tmp_path / "assays.xlsx") as writer:
        pd.DataFrame().to_excel(writer, sheet_name="Notes", index=False)
        frame(3).to_excel(writer, sheet_name="Data", index=False)
    assert len(open_source(tmp_path / "assays.xlsx", text=()).frame) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,4,5\n", "line 3"),
        ("a,b\n1,2,3\n4,5,6\n", "cannot be read"),
        ("Au_ppb,Au_ppb\n1,2\n", r"\['Au_ppb'\]; keep one"),
        ("a,b,c\n1,2,3\n4,5\n", r"2 of 3 entries: '4,5'"),
    ],
)
def test_refuses_broken_csv(tmp_path, text, message):
    path = tmp_path / "assays.csv"
    path.write_text(text)
    with pytest.raises(CubeError, match=message):
        open_source(path, text=())


def test_refuses_other_encodings(tmp_path):
    path = tmp_path / "assays.csv"
    path.write_bytes("Ort,Au_ppb\nMünchen,2\n".encode("cp1252"))
    with pytest.raises(CubeError, match="utf-8.*pandas.*encoding=.*pass the frame"):
        open_source(path, text=())


@pytest.mark.parametrize(
    "text", ["Report 7\nx,y,Au\n1,2,3\n", "Report 7\nx;y\n1;2\n", "Report,,\nx,y,Au\n1,2,3\n"]
)
def test_refuses_lines_above_the_header(tmp_path, text):
    path = tmp_path / "assays.csv"
    path.write_text(text)
    with pytest.raises(CubeError, match=r"assays\.csv.*skiprows=.*pass the frame"):
        open_source(path, text=())


def test_decimal_commas(tmp_path):
    path = tmp_path / "assays.csv"
    path.write_text("id;a;b\n1,0;0,5;<1,5\n2,0;7;1\n")
    frame = open_source(path, text=["id"], decimal=",").frame
    assert frame.to_dict("list") == {"id": ["1,0", "2,0"], "a": [0.5, 7], "b": ["<1,5", "1"]}


def test_refuses_several_sheets_and_layers(tmp_path):
    with pd.ExcelWriter(tmp_path / "assays.xlsx") as writer:
        frame(3).to_excel(writer, sheet_name="A", index=False)
        frame(3).to_excel(writer, sheet_name="B", index=False)
    with pytest.raises(CubeError, match=r"\['A', 'B'\].*sheet_name"):
        open_source(tmp_path / "assays.xlsx", text=())
    for layer in ("a", "b"):
        points(3).to_file(tmp_path / "assays.gpkg", layer=layer)
    with pytest.raises(CubeError, match=r"\['a', 'b'\].*layer"):
        open_source(tmp_path / "assays.gpkg", text=())


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    path = tmp_path / "assays.xlsx"
    frame(3).to_excel(path, index=False)
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(CubeError, match=r"not installed.*openpyxl"):
        open_source(path, text=())


@pytest.mark.parametrize(
    ("source", "message"),
    [("none.csv", "does not exist"), ("assays.doc", r"\.csv.*pandas"), (3, "int; give a path")],
)
def test_refuses_what_is_no_table(source, message):
    with pytest.raises(CubeError, match=message):
        open_source(source, text=())


def test_refuses_frames_with_repeated_headers():
    twice = frame(3)[["Au_ppb", "Au_ppb"]]
    with pytest.raises(CubeError, match=r"DataFrame has several columns named \['Au_ppb'\]"):
        open_source(twice, text=())
