"""The walks of docs/architecture.md are those that values take, and they stay short."""

import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import draw, write_csv, write_scan

import gutseg
from gutseg import runs
from gutseg.config import Predict
from gutseg.constants import CLASSES
from gutseg.data.augment import Augmenter
from gutseg.data.batches import Whole
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sampler import Batch
from gutseg.data.sources.competition import Competition
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.postprocess import Rule
from gutseg.inference.predictor import Predictor
from gutseg.prepare import prepare
from gutseg.submit import submit

PACKAGE = Path(gutseg.__file__).parent
ROWS = re.findall(
    r"^\| .* \| (\d+) \| (`.*`) \|$",
    (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(),
    re.MULTILINE,
)
WALKS = [re.findall(r"`([\w/]+\.py)`", files) for _, files in ROWS]
INPUTS = Inputs(Stack(slices=3), Scaling(), Geometry(kind="pad", size=(48, 64)))

# what never touches the value: see the text above the table
ASIDE = {
    *("claims.py", "data/tables.py", "files.py", "gpu.py", "jobs.py"),
    *("masks/intrinsics.py", "progress.py"),
}
# weights of pixels, drawn from the target
MAPS = {"data/maps.py"}


def _files_of(call: Callable[[], object]) -> set[str]:
    """The files of the package whose functions a call enters."""
    seen = set()

    def note(frame, event, _) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and frame.f_code.co_name != "<module>" and PACKAGE in path.parents:
            seen.add(path.relative_to(PACKAGE).as_posix())

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return seen


@pytest.mark.parametrize(("walk", "most"), [(0, 9), (1, 9), (2, 14), (3, 5)])
def test_a_walk_is_short_and_its_files_exist(walk, most):
    files = WALKS[walk]
    assert int(ROWS[walk][0]) == len(files) == len(set(files)) <= most
    assert all((PACKAGE / file).is_file() for file in files)


def test_from_the_download_to_a_batch(raw, tmp_path):
    found = _files_of(lambda: prepare(raw, tmp_path / "cache", workers=1))
    source = Competition(tmp_path / "cache", INPUTS)
    batches = Whole(source, source.index, Augmenter("flips"))
    found |= _files_of(lambda: batches[Batch(np.array([0, 9]), 0)])
    assert found - ASIDE - MAPS == {*WALKS[0], *WALKS[1]}


def test_from_a_prediction_to_the_csv(tmp_path, monkeypatch):
    network = torch.nn.Conv2d(3, len(CLASSES), 1)
    predictor = Predictor(network, INPUTS, Predict(tta="hflip"), device=torch.device("cpu"))
    rules = [Rule(0.4, min_component_size=2)] * len(CLASSES)
    ensemble = Ensemble([predictor], [1.0], rules)
    monkeypatch.setattr(runs, "ensemble", lambda path, device: ensemble)
    rows = write_scan(tmp_path, "case7_day0", *draw(3, 40, 48, 0), part="test")
    write_csv(tmp_path / "sample_submission.csv", [(*row[:2], "") for row in rows], "predicted")
    found = _files_of(lambda: submit(tmp_path / "blend.yaml", tmp_path, tmp_path / "s.csv"))
    # what reads the sample and the images, before there is a prediction
    reading = {"data/index.py", "data/mask_csv.py", "data/volume.py"}
    assert found - ASIDE - reading == set(WALKS[2])
