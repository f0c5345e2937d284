"""Scans that a run labels, to train on them too: who may label what, and what is done with it."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from gutseg import epochs, experiment, pseudo_labels, runs, training, warm_start
from gutseg.config import load
from gutseg.constants import CLASSES
from gutseg.data.cache import Cache, cache_labels
from gutseg.prepare import prepare
from gutseg.pseudo import pseudo
from gutseg.training import train_fold

NEW = {"case8_day1": (3, 40, 48), "case9_day0": (4, 36, 36)}


@pytest.fixture(scope="module")
def made(cache, write_raw, tmp_path_factory):
    """A run of two folds, a folder of new patients, and what the run says of them."""
    root = tmp_path_factory.mktemp("pseudo")
    (root / "first.yaml").write_text(
        f"data: {{folder: {cache}, folds: 2}}\nruns: {root / 'runs'}\n"
        "geometry: {size: [32, 32]}\nstack: {slices: 1}\noptim: {lr: 0.02}\n"
        "model: {name: unet, params: {widths: [4, 8]}}\n"
        "train: {steps: 4, batch_size: 4, monitor: null, tensorboard: false}\n"
    )
    config = load(root / "first.yaml")
    for fold in (0, 1):
        train_fold(config, fold)
    write_raw(root / "new", NEW)
    pseudo(root / "runs" / "first", root / "new", root / "more")
    return root


def _cases(config, fold):
    table = experiment.rows(config, experiment.source(config))
    return set(table["case"][table["fold"] != fold]), set(table["case"][table["fold"] == fold])


def test_every_fold_labels_with_its_own_network(made):
    prepare(made / "new", made / "prepared", workers=1)
    whole, config = Cache(made / "prepared"), load(made / "first.yaml")
    labels = []
    for fold in (0, 1):
        opened = runs.open_fold(made / "runs" / "first" / f"fold{fold}")
        found = Cache(made / "more" / f"fold{fold}")
        assert list(found.index["id"]) == list(whole.index["id"]) and len(found.index) == 7
        for name, shape in NEW.items():
            scan = found.scan(name)
            np.testing.assert_array_equal(scan.image, whole.scan(name).image)
            said = runs.predictor(opened, "none")(whole.scan(name)) >= 128
            expected = sum(said[bit].astype(np.uint8) << bit for bit in range(3))
            np.testing.assert_array_equal(scan.mask, expected)
            shown = found.index.set_index("id").loc[[f"{name}_slice_{1:04d}"]].iloc[0]
            assert shown["stomach"] == said[2, 0].any() and scan.shape == shape
            labels.append(scan.mask.copy())
        note = json.loads((made / "more" / f"fold{fold}" / "pseudo.json").read_text())
        assert set(note["trained_on"]) == _cases(config, fold)[0] and note["fold"] == fold
    assert not np.array_equal(labels[0], labels[2])
    assert any(one.any() for one in labels)


def test_they_are_trained_on_and_nothing_else_changes(made, monkeypatch):
    config = load(made / "first.yaml", [f"data.extra={made / 'more'}", "name=second"])
    drawn, evaluated = [], []
    batches, evaluator = epochs.batches, training.Evaluator

    def spied(settings, data, table, fold):
        drawn.append((data, table))
        return batches(settings, data, table, fold)

    monkeypatch.setattr(epochs, "batches", spied)
    monkeypatch.setattr(
        training, "Evaluator", lambda *a, **k: evaluated.append(a[1]) or evaluator(*a, **k)
    )
    train_fold(config, 1)
    (data, rows), (held_out,) = drawn[0], evaluated
    trained, unseen = _cases(load(made / "first.yaml"), 1)
    assert set(rows["case"]) == trained | {8, 9} and set(held_out["case"]) == unseen
    own = Cache(made / "more" / "fold1").scan("case9_day0").mask
    np.testing.assert_array_equal(data.scan("case9_day0").labels, own)
    meta = json.loads((made / "runs" / "second" / "fold1" / "meta.json").read_text())
    assert set(meta["held_out_cases"]) == unseen and len(meta["extra_sha256"]) == 64
    assert set(runs.open_fold(made / "runs" / "second" / "fold1").planes) == set(held_out["scan"])
    note = made / "more" / "fold1" / "pseudo.json"
    before = note.read_text()
    note.write_text(before + "\n")
    with pytest.raises(ValueError, match=r"data.extra: .*pseudo.json has changed since .* trained"):
        train_fold(config, 1)
    note.write_text(before)


def test_labels_of_somebody_who_is_known_are_refused(made, write_raw, tmp_path):
    run = made / "runs" / "first"
    write_raw(tmp_path / "raw", {"case5_day3": (3, 36, 36), "case7_day0": (3, 36, 36)})
    with pytest.raises(ValueError, match=r"fold0 knows 1 patient .case5. of these scans from its"):
        pseudo(run, tmp_path / "raw", tmp_path / "out")
    # who was labelled once, and trained on, is known as well
    with pytest.raises(ValueError, match="knows 2 patients .case8, case9. of these scans"):
        second = load(made / "first.yaml", [f"data.extra={made / 'more'}", "name=third"])
        train_fold(second, 0)
        pseudo(made / "runs" / "third", made / "new", tmp_path / "out", fold="0")
    assert not (tmp_path / "out").exists()


def test_what_saw_the_held_out_patients_may_label_nothing_for_them(made):
    config = load(made / "first.yaml", [f"data.extra={made / 'more'}"])
    data = experiment.source(config)
    table = experiment.rows(config, data)
    swapped = table.assign(fold=1 - table["fold"])
    with pytest.raises(
        ValueError, match=r"data.extra: what labelled .*more was trained on .*whom f"
    ):
        pseudo_labels.with_extra(config, data, swapped, 0)
    taken = table.assign(case=table["case"].replace(1, 9))
    with pytest.raises(ValueError, match="data.extra: .*more has scans of 1 patient .case9., who"):
        pseudo_labels.with_extra(config, data, taken, 0)
    with pytest.raises(
        FileNotFoundError, match="run: gutseg pseudo RUN FOLDER --out .* --fold full"
    ):
        pseudo_labels.with_extra(config, data, table, "full")
    assert pseudo_labels.with_extra(load(made / "first.yaml"), data, table, 0)[1] is table
    joined = pseudo_labels.with_extra(config, data, table, 0)[1]
    pd.testing.assert_series_equal(joined["id"].head(len(table)), table["id"], check_dtype=False)
    with pytest.raises(
        ValueError, match="data.extra: .* holds scans of the competition, not of isbi"
    ):
        load(made / "first.yaml", ["data.source=isbi", f"data.extra={made / 'more'}"])


def test_a_training_that_has_not_ended_labels_nothing(made, tmp_path):
    config = load(made / "first.yaml", ["name=short", f"runs={tmp_path}"])
    train_fold(config, 0)
    settings = tmp_path / "short" / "fold0" / "config.yaml"
    settings.write_text(settings.read_text().replace("steps: 4", "steps: 400"))
    with pytest.raises(ValueError, match="fold0 has .* and is still to be trained; continue with"):
        pseudo(tmp_path / "short", made / "new", tmp_path / "out", fold="0")
    assert not (tmp_path / "out").exists()


def test_teachers_of_a_teacher_count(made, write_raw, tmp_path):
    """A run of other patients that started from the first run has seen that run's, too."""
    config = load(made / "first.yaml")
    write_raw(tmp_path / "raw", {"case20_day0": (3, 36, 36), "case21_day0": (3, 36, 36)})
    prepare(tmp_path / "raw", tmp_path / "cache", workers=1)
    start = made / "runs" / "first" / "fold1"
    changes = [f"data.folder={tmp_path / 'cache'}", f"runs={tmp_path}", "name=later"]
    later = load(made / "first.yaml", [*changes, f"train.init_from={start}"])
    train_fold(later, 0)
    pseudo(tmp_path / "later", made / "new", tmp_path / "more", fold="0")
    note = json.loads((tmp_path / "more" / "fold0" / "pseudo.json").read_text())
    seen, held_out = _cases(config, 1)
    own = _cases(later, 0)[0]
    assert own and own < {20, 21} and set(note["trained_on"]) == own | seen
    data = experiment.source(config)
    extra = load(made / "first.yaml", [f"data.extra={tmp_path / 'more'}"])
    assert held_out <= _cases(config, 0)[0] and seen & _cases(config, 0)[1]
    with pytest.raises(ValueError, match="what labelled .*more was trained on .* whom fold0 holds"):
        pseudo_labels.with_extra(extra, data, experiment.rows(config, data), 0)
    # and a run that took these labels may not be a start for that fold either
    taught = load(
        made / "first.yaml", [*changes[:2], "name=taught", f"data.extra={tmp_path / 'more'}"]
    )
    train_fold(taught, 0)
    warm = load(made / "first.yaml", [f"train.init_from={tmp_path / 'taught' / 'fold0'}"])
    table, weights = experiment.rows(warm, data), warm_start.weights_of(warm, 0)
    with pytest.raises(ValueError, match="taught/fold0 was trained on data.extra, where .* fold 0"):
        warm_start.check_unseen(warm, 0, data, table, weights)


def test_other_labels_of_the_same_network_are_noticed(made, tmp_path):
    """The hash is of the masks: one other pixel, with the same weights and images."""
    folder = tmp_path / "fold0"
    shutil.copytree(made / "more" / "fold0", folder)
    note = json.loads((folder / "pseudo.json").read_text())
    given = (0, note["weights_sha256"], set(note["trained_on"]))
    pseudo_labels.write_note(folder, *given)
    assert json.loads((folder / "pseudo.json").read_text()) == note
    opened = Cache(folder)
    scan = opened.scan("case8_day1")
    mask = np.array(scan.mask)
    mask[0, 0, 0] ^= 1
    rows = opened.index[opened.index["scan"] == "case8_day1"]
    cache_labels(rows.drop(columns=list(CLASSES)), scan, mask, folder, made_by=given[1])
    pseudo_labels.write_note(folder, *given)
    changed = json.loads((folder / "pseudo.json").read_text())
    assert changed.pop("labels_sha256") != note.pop("labels_sha256") and changed == note


def test_a_note_of_an_earlier_version_is_refused(made, tmp_path):
    shutil.copytree(made / "more", tmp_path / "more")
    path = tmp_path / "more" / "fold0" / "pseudo.json"
    note = json.loads(path.read_text())
    del note["labels_sha256"]
    path.write_text(json.dumps(note))
    config = load(made / "first.yaml", [f"data.extra={tmp_path / 'more'}"])
    with pytest.raises(ValueError, match="pseudo.json was written by an earlier version; label th"):
        pseudo_labels.opened(config, 0)
