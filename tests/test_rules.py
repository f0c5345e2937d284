"""The rules of a blend do the same in the search, in scores and in what is submitted."""

import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

import gutseg
from gutseg import blends
from gutseg.config import Rule, dump, load_blend
from gutseg.config.blend import Rules
from gutseg.constants import CLASSES
from gutseg.inference import oof
from gutseg.inference.search import Search, volumes
from gutseg.masks.rle_writing import encode_scan
from gutseg.metrics.competition import METRICS, summarise
from gutseg.submit import submit

SCAN = "case1_day0"
RULES = [
    Rule(0.5, gate=0.9, gate_pixels=50, fill_holes=10),
    Rule(0.4, min_component_ml=0.4, hull=0.3),
    Rule(0.6, 4, 0.9, min_run=3),
]


@pytest.fixture
def ruled(trained, tmp_path):
    """The run of `trained` with other rules; the folder of its blend.yaml lies beside the run."""
    solved = load_blend(trained.blend)
    member = solved.members[0].model_copy(update={"run": trained.run})
    rules = Rules(**dict(zip(CLASSES, RULES, strict=True)))
    dump(solved.model_copy(update={"members": [member], "rules": rules}), tmp_path / "b.yaml")
    return tmp_path / "b.yaml"


def _blur(ruled):
    """Write unsure predictions into a copy of the run: spots of all sizes, some of them right."""
    run = ruled.parent / "tiny"
    shutil.copytree(load_blend(ruled).members[0].run, run)
    ruled.write_text(ruled.read_text().replace(str(load_blend(ruled).members[0].run), str(run)))
    rng = np.random.default_rng(0)
    opened = blends.open_source(ruled)
    for fold, scans in opened.members[0].planes.items():
        for name, z in scans.items():
            truth = opened.data.truth(opened.data.scan(name), z).astype(float)
            spots = ndimage.gaussian_filter(rng.normal(size=truth.shape), (0, 0.6, 1.2, 1.2))
            found = (0.5 * ndimage.gaussian_filter(truth, (0, 0, 1, 1)) + 2 * spots).clip(0, 1)
            oof.save(oof.folder(run, fold) / f"{name}.npz", (found * 255).astype(np.uint8), z)


def test_search_and_scores_agree_on_unsure_predictions(ruled):
    _blur(ruled)
    opened = blends.open_source(ruled)
    search = Search(volumes(opened.members, 0.2), METRICS["default"], threads=2)
    scored = blends.out_of_fold(ruled, METRICS["default"]).results["all"]
    expected = summarise(scored, METRICS["default"]).score
    assert search.score((1.0,), RULES) == pytest.approx(expected)
    for number in range(3):
        without = [*RULES]
        without[number] = Rule(RULES[number].threshold)
        assert search.score((1.0,), without) != pytest.approx(expected)


def test_what_is_submitted_is_what_was_scored(ruled, trained, tmp_path):
    """The public session predicts every case with the fold that held it out, as `predict` did."""
    submit(ruled, trained.raw, tmp_path / "s.csv", debug_scans=1)
    rows = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    rows = rows[rows["id"].str.startswith(SCAN)].set_index(["id", "class"])["predicted"]
    opened = blends.open_source(ruled)
    texts = encode_scan(opened.masks(SCAN)[0])
    expected = {
        (f"{SCAN}_slice_{z + 1:04d}", organ): texts[3 * z + number]
        for z in range(len(texts) // 3)
        for number, organ in enumerate(CLASSES)
    }
    assert rows.to_dict() == expected


def test_a_volume_without_a_size_is_refused_by_rules_in_ml(ruled, trained):
    load = gutseg.load(ruled)
    volume = np.array(blends.open_source(ruled).data.scan(SCAN).image)
    with pytest.raises(ValueError, match="min_component_ml: 0.4, but nothing says how large"):
        load(volume)
    small, large = (load(volume, (3.0, side, side))[1].sum() for side in (0.4, 1.5))
    assert small < large
