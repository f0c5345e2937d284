"""The table of sources, and the competition's."""

import pytest
from plain import NATIVE

from gutseg.constants import CLASSES
from gutseg.data.sources import SOURCES, mode_of, read
from gutseg.data.sources.competition import Competition


def test_the_table():
    assert list(SOURCES) == ["competition", "isbi", "png_folder", "conic", "monusac"]
    assert all(spec.source and spec.build.__doc__ for spec in SOURCES.values())


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("pngfolder", {}, "data: unknown name 'pngfolder'; did you mean 'png_folder'"),
        ("isbi", {"limit": 3}, "data.params: 'isbi' has no parameter 'limit'"),
        ("conic", {"limit": "all"}, "data.params.limit: .*found 'all'"),
        ("png_folder", {"ignore": 256}, "data.params.ignore: .*less than or equal to 255"),
        ("competition", {"blacklist": ["winners"]}, "did you mean 'winners2'"),
    ],
)
def test_wrong_names_and_parameters(tmp_path, name, params, message):
    with pytest.raises(ValueError, match=message):
        read(name, tmp_path, NATIVE, params)


@pytest.mark.parametrize("name", SOURCES)
def test_a_missing_or_empty_folder_is_named(tmp_path, name):
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(FileNotFoundError, match=str(folder)):
            read(name, folder, NATIVE, {})


def test_the_competition_leaves_blacklisted_scans_out(cache):
    everything = Competition(cache, NATIVE).index
    kept = Competition(cache, NATIVE, blacklist=("winners2", "case2_day0")).index
    assert set(everything["scan"]) - set(kept["scan"]) == {"case2_day0"}


def test_the_competition_divides_patients(cache):
    data = Competition(cache, NATIVE)
    assert (data.classes, data.mode, data.background) == (CLASSES, mode_of("competition"), None)
    fold = data.draw_folds(3, seed=1)
    assert fold.groupby(data.index["case"]).nunique().eq(1).all() and set(fold) == {0, 1, 2}
    assert data.pixels(data.index)[0].any(axis=0).all()
