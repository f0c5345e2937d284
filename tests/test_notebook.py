"""`gutseg.load(...)(volume)` in a notebook gives the masks that `submit` writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from folders import write_csv, write_scan

import gutseg
from gutseg import runs
from gutseg.constants import CLASSES
from gutseg.data.cache import Cache
from gutseg.masks.rle_reading import decode
from gutseg.submit import submit

SCAN = "case1_day0"


def _volume(trained):
    return np.array(Cache(trained.cache).scan(SCAN).image)


def test_masks_are_those_of_the_submission(trained, tmp_path):
    volume = _volume(trained)
    rows = write_scan(tmp_path / "hidden", SCAN, volume, np.zeros(volume.shape, "u1"), part="test")
    write_csv(tmp_path / "hidden" / "sample_submission.csv", rows, "predicted")
    submit(trained.blend, tmp_path / "hidden", tmp_path / "s.csv")
    masks = gutseg.load(trained.blend)(volume)
    assert masks.dtype == bool and masks.shape == (3, *volume.shape)
    rows = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    assert len(rows) == 3 * len(volume) and masks.any(axis=(1, 2, 3)).all()
    for slice_id, organ, text in rows.itertuples(index=False):
        z = int(slice_id[-4:]) - 1
        written = decode(text, *volume.shape[1:]) if text else np.zeros(volume.shape[1:], bool)
        assert np.array_equal(masks[CLASSES.index(organ), z], written), slice_id


def test_a_run_is_the_mean_of_its_folds_cut_at_a_half(trained):
    whole = gutseg.load(str(trained.run), device="cpu")
    assert [one.name[-5:] for one in whole.ensemble.predictors] == ["fold0", "fold1"]
    volume = _volume(trained)
    z = np.arange(len(volume))
    scan = Cache(trained.cache).scan(SCAN)
    parts = [one(scan, z).astype(np.float32) for one in whole.ensemble.predictors]
    assert np.array_equal(whole(volume), np.rint(sum(parts) / 2) >= 128)


def test_a_run_is_flipped_as_its_config_says_and_one_of_all_patients_stands_alone(
    trained, tmp_path
):
    run = tmp_path / "tiny"
    shutil.copytree(trained.run, run)
    text = (run / "fold0" / "config.yaml").read_text()
    (run / "fold0" / "config.yaml").write_text(text.replace("tta: none", "tta: hflip"))
    (run / "fold1" / "best.pt").unlink()
    solved, home = runs.as_blend(run)
    assert home == tmp_path and [member.model_dump() for member in solved.members] == [
        {"run": Path("tiny"), "folds": [0], "tta": "hflip", "weight": 1.0}
    ]
    (run / "fold0").rename(run / "full")
    assert runs.as_blend(run)[0].members[0].folds == ["full"]


@pytest.mark.parametrize(
    "volume", [np.zeros((2, 8, 8)), np.zeros((8, 8), "u2"), np.zeros((0, 8, 8), "u2")]
)
def test_anything_else_than_a_raw_volume_is_refused(trained, volume):
    with pytest.raises(
        ValueError, match=r"volume: found \w+ \(.*expected the raw slices of one sc"
    ):
        gutseg.load(trained.blend)(volume)


def test_what_cannot_be_opened_is_named(tmp_path, trained):
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        gutseg.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone.yaml does not exist"):
        gutseg.load(tmp_path / "gone.yaml")
    with pytest.raises(ValueError, match="device: torch knows no 'gpu'; give cpu, cuda"):
        gutseg.load(trained.blend, device="gpu")


def test_importing_gutseg_takes_no_time():
    code = (
        "import gutseg, sys; assert gutseg.load; assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
