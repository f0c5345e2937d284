"""Labelled scans of the public session: predicted by folds that have not seen them, and scored."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from gutseg import held_out, runs
from gutseg.config import dump, load_blend
from gutseg.data.folds import cases_held_out
from gutseg.engine import checkpoint
from gutseg.held_out import Unseen
from gutseg.inference.ensemble import Ensemble
from gutseg.kaggle.bundle import build_bundle
from gutseg.score import score
from gutseg.submit import submit


@pytest.fixture(scope="module")
def public(trained, tmp_path_factory):
    """All six labelled scans, predicted as the public session would: the csv and its score."""
    out = tmp_path_factory.mktemp("public") / "submission.csv"
    submit(trained.blend, trained.raw, out, debug_scans=6)
    return out, json.loads(out.with_name("score.json").read_text())


@pytest.fixture(scope="module")
def cases(trained):
    """The cases that each of the two folds holds out."""
    table = pd.read_csv(trained.folds)
    return [frozenset(table["case"][table["fold"] == fold]) for fold in (0, 1)]


def _copy(trained, folder, folds=(0, 1)):
    """Copy the run and write a blend of some of its folds beside it."""
    shutil.copytree(trained.run, folder / "tiny", ignore=shutil.ignore_patterns("oof"))
    solved = load_blend(trained.blend)
    member = solved.members[0].model_copy(update={"run": "tiny", "folds": list(folds)})
    dump(solved.model_copy(update={"members": [member]}), folder / "blend.yaml")
    return folder / "blend.yaml"


def _rows(path):
    return pd.read_csv(path, keep_default_na=False).set_index(["id", "class"])["predicted"]


def _of(rows, cases):
    number = rows.index.get_level_values("id").str.extract(r"case(\d+)_")[0].astype(int)
    return rows[number.isin(cases).to_numpy()]


def test_the_score_is_what_gutseg_score_says_of_the_same_csv(public, trained, tmp_path):
    out, found = public
    score(out, truth=trained.raw / "train.csv", slices=trained.raw, json=tmp_path / "s.json")
    same = json.loads((tmp_path / "s.json").read_text())
    assert found == same | {"not_scored": []} and len(found["per_scan"]) == 6
    # the blend's score is of the same probabilities
    assert found["score"] == pytest.approx(load_blend(trained.blend).score, abs=1e-9)


def test_no_fold_that_saw_a_case_predicts_it(public, trained, cases, tmp_path):
    """With nonsense for fold 1 the cases that it held out change, and no others."""
    before = _rows(public[0])
    blend = _copy(trained, tmp_path)
    path = tmp_path / "tiny" / "fold1" / "best.pt"
    content = checkpoint.load(path)
    content["model"] = {
        key: torch.zeros_like(value) if value.is_floating_point() else value
        for key, value in content["model"].items()
    }
    checkpoint.save(path, content)
    submit(blend, trained.raw, tmp_path / "s.csv", debug_scans=6)
    after = _rows(tmp_path / "s.csv")
    assert _of(after, cases[0]).equals(_of(before, cases[0])) and any(_of(before, cases[0]))
    assert not _of(after, cases[1]).equals(_of(before, cases[1]))
    scores = json.loads((tmp_path / "score.json").read_text())["per_scan"]
    same = {name for name, values in scores.items() if values == public[1]["per_scan"][name]}
    assert {int(name[4]) for name in same} == cases[0]


def test_a_bundle_predicts_and_scores_the_same_without_the_data(public, trained, cases, tmp_path):
    build_bundle(trained.blend, tmp_path / "kaggle", "somebody", wheels=False)
    bundle = tmp_path / "kaggle" / "bundle"
    notes = [json.loads((path / "held_out.json").read_text()) for path in _folds(bundle)]
    assert notes == [{"cases": sorted(held)} for held in cases]
    for path in _folds(bundle):  # on Kaggle there is no such folder
        config = path / "config.yaml"
        config.write_text(config.read_text().replace(str(trained.cache), "/nowhere"))
    submit(bundle / "blend.yaml", trained.raw, tmp_path / "submission.csv", debug_scans=6)
    assert (tmp_path / "submission.csv").read_bytes() == public[0].read_bytes()
    assert json.loads((tmp_path / "score.json").read_text()) == public[1]


def _folds(bundle):
    return sorted((bundle / "runs").glob("*/fold*"))


def test_cases_that_no_fold_held_out_are_not_scored(trained, cases, tmp_path, caplog):
    blend = _copy(trained, tmp_path, folds=[0])
    submit(blend, trained.raw, tmp_path / "one.csv", debug_scans=1)
    # where there is a choice, a scan that can be scored
    (name,) = json.loads((tmp_path / "score.json").read_text())["per_scan"]
    assert int(name[4]) in cases[0]
    submit(blend, trained.raw, tmp_path / "all.csv", debug_scans=6)
    found = json.loads((tmp_path / "score.json").read_text())
    assert {int(name[4]) for name in found["per_scan"]} == cases[0]
    assert {int(name[4]) for name in found["not_scored"]} == cases[1]
    assert "not scored, since every network may have seen them: case" in caplog.text


def test_without_the_folds_nothing_is_scored(trained, tmp_path, caplog):
    blend = _copy(trained, tmp_path)
    for fold in (0, 1):
        (tmp_path / "tiny" / f"fold{fold}" / "meta.json").unlink()
    submit(blend, trained.raw, tmp_path / "s.csv", debug_scans=1)
    found = json.loads((tmp_path / "score.json").read_text())
    assert found == {"score": None, "not_scored": ["case1_day0"]}
    assert "which cases" in caplog.text and "put its data and fold file back" in caplog.text
    assert "every network may have seen them: case1_day0; blend all folds" in caplog.text


def test_blocks_of_slices_hold_out_no_case(monkeypatch, tmp_path):
    """A fold that holds out half of a scan was trained on its other half."""
    index = pd.DataFrame({"case": [1, 1, 1, 2, 2], "scan": ["case1_day0"] * 3 + ["case2_day0"] * 2})
    planes = {"case1_day0": np.array([0, 1]), "case2_day0": np.array([0, 1])}
    fold = SimpleNamespace(data=SimpleNamespace(index=index), planes=planes)
    monkeypatch.setattr(runs, "open_fold", lambda folder: fold)
    assert held_out.held_out(tmp_path / "fold0") == {2}
    assert held_out.held_out(tmp_path / "full") == frozenset()


def test_every_member_needs_a_fold_that_held_the_case_out():
    first, second = [frozenset({1, 2}), frozenset({3}), frozenset({1})], [frozenset({1})]
    unseen = Unseen([(3.0, first), (0.5, second)], [frozenset({1}), frozenset()])
    whole = Ensemble(["a0", "a1", "a2", "b0"], [1.0, 1.0, 1.0, 0.5], [], ["g0", "g1"])
    chosen = unseen.choose(whole, "case1_day0")
    assert (chosen.predictors, chosen.weights) == (["a0", "a2", "b0"], [1.5, 1.5, 0.5])
    assert chosen.background == ["g0"]
    assert [unseen.knows(f"case{case}_day0") for case in (1, 2, 3, 4)] == [True, *[False] * 3]
    assert unseen.choose(whole, "case2_day0") is whole
    assert not Unseen([(1.0, second)], [frozenset()]).knows("case1_day0")
    gated = Unseen([(1.0, second)], [], gate=[frozenset({2}), frozenset({1, 3})])
    assert [gated.knows(f"case{case}_day0") for case in (1, 2, 3)] == [True, False, False]
    whole = Ensemble(["b0"], [1.0], [], gate=["c0", "c1"])
    assert gated.choose(whole, "case1_day0").gate == ["c1"]


@pytest.mark.parametrize("content", ["[]", '{"cases": 1}', '{"cases": ["1"]}', '{"cases": [true]}'])
def test_a_damaged_note_is_refused(tmp_path, content):
    (tmp_path / "held_out.json").write_text(content)
    with pytest.raises(ValueError, match=r"held_out.json does not say which cases .*build the bun"):
        held_out.held_out(tmp_path)


def test_a_run_itself_says_whom_its_folds_held_out(trained, cases, tmp_path):
    """Wherever its data and its fold file are by then, and a network of all held out nobody."""
    blend = _copy(trained, tmp_path)
    folds = [tmp_path / "tiny" / f"fold{fold}" for fold in (0, 1)]
    for path in folds:
        (path / "config.yaml").write_text("data: {folder: /nowhere, folds: /nowhere/folds.csv}\n")
    assert [held_out.held_out(path) for path in folds] == cases
    assert Unseen.of_blend(blend).knows("case1_day0")
    meta = json.loads((folds[0] / "meta.json").read_text())
    for spoilt in ("1", ["1"], None):
        (folds[0] / "meta.json").write_text(json.dumps(meta | {"held_out_cases": spoilt}))
        with pytest.raises(ValueError, match=r"meta.json does not say which cases .*train again"):
            held_out.held_out(folds[0])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "meta.json").write_text(json.dumps(meta))
    assert held_out.held_out(tmp_path / "full") == frozenset()


def test_cases_of_which_a_slice_was_seen_are_not_held_out():
    table = pd.DataFrame({"case": [1, 1, 2, 2, 3, 3], "fold": [0, 0, 0, 1, 1, 1]})
    assert [cases_held_out(table, fold) for fold in (0, 1, "full")] == [[1], [3], []]
