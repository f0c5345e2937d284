"""The rules of a blend do the same in the search, in scores and in what is submitted."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

import gutseg
from gutseg import blends, runs
from gutseg.blend import blend
from gutseg.config import Rule, dump, load_blend
from gutseg.config.blend import Predicted, Rules
from gutseg.constants import CLASSES
from gutseg.inference import oof
from gutseg.inference.search import Search, volumes
from gutseg.kaggle.bundle import pack_runs
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


@pytest.fixture
def gated(ruled, trained):
    """The same blend, whose gates look at the run of `trained` itself."""
    solved = load_blend(ruled)
    gate = Predicted(run=trained.run, folds=[0, 1])
    dump(solved.model_copy(update={"gate_by": gate}), ruled)
    return ruled


def _blur(ruled):
    """Write unsure predictions into a copy of the run: spots of all sizes, some of them right."""
    run = ruled.parent / "tiny"
    shutil.copytree(load_blend(ruled).members[0].run, run)
    old = str(load_blend(ruled).members[0].run)
    ruled.write_text(ruled.read_text().replace(old, str(run), 1))  # members come first
    rng = np.random.default_rng(0)
    opened = blends.open_source(ruled)
    for fold, scans in opened.members[0].planes.items():
        for name, z in scans.items():
            truth = opened.data.truth(opened.data.scan(name), z).astype(float)
            spots = ndimage.gaussian_filter(rng.normal(size=truth.shape), (0, 0.6, 1.2, 1.2))
            found = (0.5 * ndimage.gaussian_filter(truth, (0, 0, 1, 1)) + 2 * spots).clip(0, 1)
            oof.save(oof.folder(run, fold) / f"{name}.npz", (found * 255).astype(np.uint8), z)


def test_search_and_scores_agree_on_unsure_predictions(gated, trained):
    """Also where the gates look at another run, here the one that was not blurred."""
    _blur(gated)
    opened = blends.open_source(gated)
    assert opened.gate.run == trained.run != opened.members[0].run
    found: list[float] = []
    for gate in (opened.gate, None):
        loaded = volumes(opened.members, 0.2, gate=gate)
        search = Search(loaded, METRICS["default"], threads=2)
        dump(load_blend(gated).model_copy(update={} if gate else {"gate_by": None}), gated)
        scored = blends.out_of_fold(gated, METRICS["default"]).results["all"]
        found.append(search.score((1.0,), RULES))
        assert found[-1] == pytest.approx(summarise(scored, METRICS["default"]).score)
    assert found[0] != pytest.approx(found[1])
    assert found[1] != pytest.approx(search.score((1.0,), [Rule(r.threshold) for r in RULES]))


def test_a_blend_names_and_packs_the_run_that_gates(trained, tmp_path):
    run = tmp_path / "tiny"
    shutil.copytree(trained.run, run)
    blend([trained.run], tmp_path / "b", trials=2, gate_by=run)
    solved = load_blend(tmp_path / "b" / "blend.yaml")
    assert solved.gate_by == Predicted(run=Path("../tiny"), folds=[0, 1])
    scored = blends.out_of_fold(tmp_path / "b" / "blend.yaml", METRICS["default"]).results["all"]
    assert summarise(scored, METRICS["default"]).score == pytest.approx(solved.score)
    pack_runs(solved, tmp_path / "b", tmp_path / "bundle")
    packed = load_blend(tmp_path / "bundle" / "blend.yaml")
    assert packed.gate_by.run == Path("runs/1-tiny") != packed.members[0].run
    names = [one.name for one in runs.assemble(packed, tmp_path / "bundle").gate]
    assert names == [f"{tmp_path}/bundle/runs/1-tiny/fold{fold}" for fold in (0, 1)]


def test_rules_of_another_gate_and_searched_ones_are_refused_where_they_would_mislead(
    gated, trained, tmp_path
):
    with pytest.raises(ValueError, match="b.yaml: these rules were chosen with gate_by .*tiny"):
        blend([trained.run], tmp_path / "b", trials=1, rules=gated)
    shutil.copytree(trained.run, tmp_path / "other")
    with pytest.raises(ValueError, match="these rules were chosen with gate_by .*tiny"):
        blend([trained.run], tmp_path / "b", rules=gated, gate_by=tmp_path / "other")
    blend([trained.run], tmp_path / "b", trials=1, rules=gated, gate_by=trained.run)
    solved = load_blend(gated).model_copy(update={"gate_by": None, "score": 0.5})
    dump(solved, tmp_path / "searched.yaml")
    with pytest.raises(ValueError, match="searched.yaml: these rules were searched on all folds"):
        blend([trained.run], tmp_path / "c", rules=tmp_path / "searched.yaml", cross_fit=True)
    assert not (tmp_path / "c").exists()


def test_a_blend_is_not_scored_on_other_views_than_it_was_chosen_on(gated):
    _blur(gated)  # into a copy of the run
    run = load_blend(gated).members[0].run
    for note in run.glob("fold*/oof/made_with.json"):
        text = note.read_text()
        assert '"tta": "none"' in text
        note.write_text(text.replace('"tta": "none"', '"tta": "hflip"'))
    with pytest.raises(ValueError, match=r"was predicted with tta hflip, but .* run: gutseg predi"):
        blends.open_source(gated)


def test_what_is_submitted_is_what_was_scored(gated, trained, tmp_path):
    """The public session predicts every case with the fold that held it out, as `predict` did."""
    submit(gated, trained.raw, tmp_path / "s.csv", debug_scans=1)
    rows = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    rows = rows[rows["id"].str.startswith(SCAN)].set_index(["id", "class"])["predicted"]
    opened = blends.open_source(gated)
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
