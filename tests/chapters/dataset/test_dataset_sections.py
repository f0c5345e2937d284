"""The data chapter from a folder, a cache and a list; what cannot be read is named."""

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from folders import write_csv
from matplotlib.colors import to_rgb

from gutseg.chapters.dataset import sections
from gutseg.chapters.dataset.examples import SEVERAL, _panel, pictures
from gutseg.chapters.dataset.numbers import gather
from gutseg.chapters.dataset.reading import open_data
from gutseg.masks.rle_writing import encode
from gutseg.prepare import prepare
from gutseg.reporting.parts import Chart, Heat, Section, Table
from tests.chapters.dataset.known import masks, write_known


def _frames(found: list[Section]) -> dict[str, pd.DataFrame]:
    parts = [part for section in found for part in section.parts]
    return {part.name: part.frame for part in parts if isinstance(part, Table | Heat)}


def _write_list(path: Path, has_ann: dict[str, bool]) -> Path:
    rows = [
        f"{name},train/case1/case1_day0/scans/slice_0001_6_4_1.50_1.63.png,6,4,{has}"
        for name, has in has_ann.items()
    ]
    path.write_text("\n".join(["id,file,width,height,has_ann", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_known(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def cache(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "cache"
    prepare(raw, folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def known(raw: Path) -> list[Section]:
    return sections(raw)


def test_a_cache_and_its_folder_have_the_same_numbers(known, cache):
    of_folder, of_cache = _frames(known), _frames(sections(cache))
    assert set(of_cache) - set(of_folder) == {"grey_scales"}
    for name, frame in of_folder.items():
        pd.testing.assert_frame_equal(frame, of_cache[name], check_dtype=False)
    # 72 pixels of values 0 to 9 in turn: 8 zeros
    assert of_cache["grey_scales"].loc["case1_day0", "zeros, %"] == pytest.approx(100 * 8 / 72)
    assert of_cache["grey_scales"]["largest"].tolist() == [9, 9, 9]


def test_every_part_has_a_name_of_its_own_and_words(known):
    parts = [part for section in known for part in section.parts]
    assert len({part.name for part in parts}) == len(parts)
    assert all(re.fullmatch("[a-z_]+", part.name) and part.caption for part in parts)
    charts = [part for part in parts if isinstance(part, Chart | Heat)]
    assert all(re.search("[0-9]", chart.about) for chart in charts)
    for chart in charts:
        for series in getattr(chart, "series", ()):
            assert len(series.x) == len(series.y) > 0


def test_pictures_show_labels_and_where_they_overlap(raw, cache):
    of_folder, of_cache = open_data(raw), open_data(cache)
    panels = [_panel(data, "case1_day2_slice_0002") for data in (of_folder, of_cache)]
    for panel in panels:
        # columns 1 to 4 of row 0 belong to several organs, column 0 to the large bowel alone
        shared = np.isclose(panel[0], to_rgb(SEVERAL)).all(axis=-1)
        assert shared.nonzero()[0].tolist() == [1, 2, 3, 4]
        assert panel[0, 0, 2] > panel[0, 0, 0] + 0.3
    # nothing is drawn below: grey values 6, 7, ... of the image, or none
    assert len(np.unique(panels[0][1:])) == 1
    assert len(np.unique(panels[1][1:])) > 5
    drawn = pictures(of_folder, gather(of_folder).planes)
    assert [part.name for part in drawn] == ["typical_labels", "overlapping_labels"]
    assert cv2.imdecode(np.frombuffer(drawn[0].png, np.uint8), cv2.IMREAD_COLOR).std() > 10


def test_images_are_not_read(tmp_path):
    before = gather(open_data(write_known(tmp_path)))
    for png in tmp_path.rglob("*.png"):
        png.write_bytes(b"")
    after = gather(open_data(tmp_path))
    pd.testing.assert_frame_equal(before.planes, after.planes)
    pd.testing.assert_frame_equal(before.organs, after.organs)


def test_rows_that_cannot_be_used_are_left_out_and_named(tmp_path):
    write_known(tmp_path)
    rows = pd.read_csv(tmp_path / "train.csv", keep_default_na=False)
    texts = rows["segmentation"].where(rows.index != rows.index[3], "5 999")
    rows = rows.assign(segmentation=texts).drop(index=rows.index[-1])
    rows.loc[len(rows) + 1] = ["case9_day0_slice_0001", "stomach", ""]
    rows.loc[len(rows) + 2] = ["case1_day0_slice_0001", "stomach", "1 24"]
    rows.to_csv(tmp_path / "train.csv", index=False)
    frames = _frames(sections(tmp_path))
    left_out = frames["data_left_out"]["what"].tolist()
    assert left_out[0].startswith("Left out: 1 slices have a PNG but not a row per class")
    assert "case3_day1_slice_0002" in left_out[0]
    assert left_out[1].startswith("Left out: 1 rows of train.csv have no PNG")
    assert left_out[2].startswith("Taken for empty: train.csv row 5 (case1_day0_slice_0002, large_")
    assert re.match("Left out: .*case1_day0_slice_0001.*: a second row for the class", left_out[3])
    assert len(left_out) == 4
    # slice 2 of case 1 keeps its small bowel, slice 2 of case 3 is gone
    assert frames["slices_with_masks"]["slices"].tolist() == [3, 4, 7]


def test_slice_numbers_stay_true_where_the_first_slice_has_no_labels(tmp_path):
    write_known(tmp_path)
    rows = pd.read_csv(tmp_path / "train.csv")
    rows[rows["id"] != "case1_day2_slice_0001"].to_csv(tmp_path / "train.csv", index=False)
    organs = gather(open_data(tmp_path)).organs
    assert organs is not None
    own = organs[organs["scan"] == "case1_day2"]
    assert own[["first", "last", "far_slice"]].to_numpy().tolist() == [[2, 2, 2]] * 3


def test_a_folder_without_a_single_mask_has_all_tables(tmp_path):
    write_known(tmp_path)
    rows = pd.read_csv(tmp_path / "train.csv").assign(segmentation="")
    rows.to_csv(tmp_path / "train.csv", index=False)
    frames = _frames(sections(tmp_path))
    assert frames["organs_per_slice"]["slices"].tolist() == [8, 0, 0, 0]
    assert frames["suspicious_scans"]["score"].tolist() == [0, 0, 0]


def test_of_a_folder_without_train_csv_names_alone_are_counted(tmp_path):
    write_known(tmp_path)
    (tmp_path / "train.csv").unlink()
    (tmp_path / "train").rename(tmp_path / "test")
    (section,) = sections(tmp_path)
    frames = _frames([section])
    assert set(frames) == {"scans_per_case", "slices_per_scan", "image_sizes"}
    assert frames["slices_per_scan"]["scans"].to_dict() == {3: 2, 2: 1}


def test_a_list_tells_what_needs_no_masks(tmp_path):
    has = {"case1_day0_slice_0001": False, "case1_day0_slice_0002": True}
    (section,) = sections(_write_list(tmp_path / "slices.csv", has))
    frames = _frames([section])
    assert frames["slices_with_masks"]["slices"].tolist() == [1, 1, 2]
    assert frames["image_sizes"].to_numpy().tolist() == [[6, 4, 1.5, 1.63, 2, 1]]
    chart = next(part for part in section.parts if part.name == "slice_positions")
    assert chart.series[0].y == [0, 1]
    assert "slice 2 (1 scans)" in chart.about


def test_a_list_of_ids_and_sizes_is_enough(tmp_path):
    (tmp_path / "a.csv").write_text("id,width,height\ncase1_day0_slice_0001,6,4\n")
    frames = _frames(sections(tmp_path / "a.csv"))
    assert "slices_with_masks" not in frames
    assert frames["image_sizes"][["width", "height", "slices"]].to_numpy().tolist() == [[6, 4, 1]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id,width\ncase1_day0_slice_0001,6\n", "column height is missing"),
        ("id,width,height\ncase1_slice_0001,6,4\n", "is not of the form case123_day20_slice_0001"),
        ("id,width,height,has_ann\ncase1_day0_slice_0001,6,4,maybe\n", "neither True nor False"),
        ("id,width,height\n" + 2 * "case1_day0_slice_0001,6,4\n", "is listed twice"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path, text, problem):
    (tmp_path / "slices.csv").write_text(text)
    with pytest.raises(ValueError, match=problem):
        open_data(tmp_path / "slices.csv")


def test_labels_without_their_pngs_are_refused(tmp_path):
    rows = [("case1_day0_slice_0001", "stomach", encode(masks()["case1_day2"][0] >> 2))]
    write_csv(tmp_path / "train.csv", rows)
    with pytest.raises(ValueError, match="holds no slice"):
        sections(tmp_path)


def test_the_competitions_list_equals_the_course_paper(real_data):
    path = real_data / "uwmgi" / "slices.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not there: the competition's data is not redistributed")
    section, published = sections(path)
    frames = _frames([section, published])
    assert frames["slices_with_masks"]["slices"].tolist() == [21_906, 16_590, 38_496]
    cases = frames["scans_per_case"]["cases"]
    assert cases.to_dict() == {1: 9, 2: 8, 3: 45, 4: 2, 5: 20, 6: 1}
    assert cases.sum() == 85
    assert frames["slices_per_scan"]["scans"].to_dict() == {144: 259, 80: 15}
    sizes = frames["image_sizes"].set_index(["width", "height"])
    assert sizes["slices"].to_dict() == {
        **{(266, 266): 25_920, (360, 310): 11_232, (276, 276): 1_200, (234, 234): 144}
    }
    assert sizes.loc[(276, 276), "pixel width, mm"] == 1.63
    assert len(frames["published_numbers"]) == 16
    assert (frames["published_numbers"]["difference"] == 0).all()
