"""Windows that another run finds, through the verbs: kept, undone, and who may find them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import gutseg
from gutseg import detector, experiment, runs, warm_start
from gutseg.config import Blend, dump, load
from gutseg.config.blend import Member
from gutseg.data.cache import Cache
from gutseg.engine import checkpoint
from gutseg.export import export
from gutseg.inference import made_with
from gutseg.kaggle.bundle import pack_runs
from gutseg.masks.rle_reading import decode
from gutseg.predict import predict
from gutseg.push_to_hub import push_to_hub
from gutseg.runs import as_blend
from gutseg.submit import submit
from gutseg.training import train_fold

TINY = """
geometry: {kind: found, size: [32, 32], margin: 2}
stack: {slices: 1}
model: {name: unet, params: {widths: [4, 8], norm: batch}}
optim: {lr: 2e-2}
train: {steps: 20, batch_size: 4, monitor: null, tensorboard: false}
"""


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """A run of two folds whose windows a copy of the trained run finds; that copy is gone."""
    root = tmp_path_factory.mktemp("found")
    shutil.copytree(trained.run, root / "small")
    (root / "found.yaml").write_text(TINY)
    config = _config(trained, root)
    for fold in (0, 1):
        train_fold(config, fold)
    predict(root / "runs" / "found")
    shutil.rmtree(root / "small")
    return root


def _config(trained, root, *changes):
    places = [
        f"data.folder={trained.cache}",
        f"data.folds={trained.folds}",
        f"runs={root / 'runs'}",
    ]
    return load(root / "found.yaml", [*places, f"geometry.from_run={root / 'small'}", *changes])


def _by_hand(trained, fold):
    """The box of every scan, from what the small run says of it."""
    opened = runs.open_fold(trained.run / f"fold{fold}")
    network, found = runs.predictor(opened, "none"), {}
    for name in opened.data.index["scan"].unique():
        shown = (network(opened.data.scan(name)) >= 128).any(axis=0)
        (top, bottom), (left, right) = (
            np.flatnonzero(shown.any(axis=axes))[[0, -1]] for axes in ((0, 2), (0, 1))
        )
        found[opened.data.fingerprint(name)] = [top, bottom + 1, left, right + 1]
    return found


def test_a_fold_keeps_its_own_detector_and_boxes(made, trained):
    for fold in (0, 1):
        folder = made / "runs" / "found" / f"fold{fold}"
        boxes = json.loads((folder / "boxes.json").read_text())
        assert boxes == _by_hand(trained, fold) and len(boxes) == 6
        kept = checkpoint.weights(folder / "detector" / "weights.safetensors")
        before = checkpoint.weights(trained.run / f"fold{fold}" / "best.pt")
        assert kept.keys() == before.keys()
        assert all(torch.equal(kept[key], before[key]) for key in before)
        meta = json.loads((folder / "meta.json").read_text())
        assert meta["detector_sha256"] == made_with.hash_file(
            folder / "detector" / "weights.safetensors"
        )


def test_predictions_lie_in_the_windows_and_a_resumed_training_needs_no_other_run(made, trained):
    folder = made / "runs" / "found" / "fold0"
    opened, boxes = runs.open_fold(folder), json.loads((folder / "boxes.json").read_text())
    for name in opened.planes:
        found = np.load(folder / "oof" / f"{name}.npz")["probabilities"]
        top, bottom, left, right = boxes[opened.data.fingerprint(name)]
        inside = found[..., max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2]
        assert inside.any() and found.sum(dtype=int) == inside.sum(dtype=int)
        assert inside.shape[2:] != found.shape[2:]
    known = detector.opened(folder).located(opened.data)  # as a report draws training images
    assert known.planes(name, np.array([1, 2]))[0].shape == (2, 1, 32, 32)
    assert known.scan(name).found == (top, bottom, left, right)
    before = (folder / "boxes.json").read_bytes()
    (folder / "boxes.json").unlink()
    assert train_fold(_config(trained, made), 0)["steps"] == 20  # nothing is left but to find them
    assert (folder / "boxes.json").read_bytes() == before
    runs.predictions(folder.parent)  # and the predictions hold
    with pytest.raises(
        ValueError, match="detector: no window was found for 1 scan .case1_day0. of"
    ):
        others = {
            one: box for one, box in boxes.items() if one != opened.data.fingerprint("case1_day0")
        }
        detector.Found(others, folder / "detector").located(opened.data)


def test_what_is_submitted_is_what_was_predicted(made, trained, tmp_path):
    """The public session predicts labelled scans with the fold that held them out."""
    dump(
        Blend(members=[Member(run=made / "runs" / "found", folds=[0, 1])]), tmp_path / "blend.yaml"
    )
    submit(tmp_path / "blend.yaml", trained.raw, tmp_path / "out.csv", gpus=0)
    rows = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    scans = rows["id"].str.extract("(.*)_slice")[0].unique()
    assert len(scans) == 3
    shown = 0
    for name in scans:
        (path,) = (made / "runs" / "found").glob(f"fold*/oof/{name}.npz")
        expected = np.load(path)["probabilities"] >= 128  # (C, Z, H, W)
        texts = rows["predicted"][rows["id"].str.startswith(f"{name}_slice")]
        found = np.array([decode(text, *expected.shape[2:]) for text in texts])
        found = found.reshape(expected.shape[1], 3, *expected.shape[2:]).swapaxes(0, 1)
        np.testing.assert_array_equal(found, expected)
        shown += expected.sum()
    assert shown > 100


def test_another_detector_makes_predictions_out_of_date(made, trained, tmp_path):
    shutil.copytree(made / "runs" / "found", tmp_path / "found")
    fold = runs.open_fold(tmp_path / "found" / "fold0")
    before = fold.made_with("none")
    moved = fold.config.geometry.model_copy(update={"from_run": tmp_path / "elsewhere"})
    object.__setattr__(fold, "config", fold.config.model_copy(update={"geometry": moved}))
    assert not before.changes(fold.made_with("none"))  # where it was does not matter
    other, place = made / "runs" / "found" / "fold1" / "detector", fold.folder / "detector"
    shutil.copyfile(other / "weights.safetensors", place / "weights.safetensors")
    assert before.changes(fold.made_with("none")) == ["config.yaml"]
    with pytest.raises(ValueError, match="predictions are out of date, changed since are config"):
        runs.predictions(tmp_path / "found")
    with pytest.raises(ValueError, match="geometry.from_run: .*detector/weights.* has changed sin"):
        train_fold(_config(trained, made, f"runs={tmp_path}"), 0)
    shutil.rmtree(place)
    with pytest.raises(FileNotFoundError, match="detector/weights.safetensors .* copy it back"):
        train_fold(_config(trained, made, f"runs={tmp_path}"), 0)
    with pytest.raises(FileNotFoundError, match="detector/config.yaml does not exist; it came wi"):
        predict(tmp_path / "found", fold="0")


def test_a_bundle_and_a_model_to_share_hold_the_detector(made, trained, tmp_path):
    run = made / "runs" / "found"
    volume = np.array(Cache(trained.cache).scan("case2_day0").image)
    expected = gutseg.load(run, "cpu")(volume)
    assert expected.any()
    pack_runs(*as_blend(run), tmp_path / "bundle")
    push_to_hub(run, tmp_path / "model")
    for folder in ("bundle", "model"):
        assert np.array_equal(gutseg.load(tmp_path / folder, "cpu")(volume), expected)
    path = tmp_path / "model" / "runs" / "0-found" / "fold1"
    assert load(path / "config.yaml").geometry.from_run.parts == ("small",)
    assert load(path / "detector" / "config.yaml").data.folder.parts == ("cache",)
    with pytest.raises(ValueError, match="fold0 looks at windows that another network finds; exp"):
        export(run, out=tmp_path / "exports")


def test_who_may_not_find_windows(made, trained, tmp_path):
    def start(*changes, fold=0):
        train_fold(_config(trained, made, f"runs={tmp_path}", *changes), fold)

    seen = f"geometry.from_run={trained.run / 'fold1'}"
    with pytest.raises(
        ValueError, match="geometry.from_run: .*fold1 was trained on .* fold 0 hold"
    ):
        start(seen)
    shutil.copytree(trained.run, tmp_path / "short")
    settings = tmp_path / "short" / "fold0" / "config.yaml"
    settings.write_text(settings.read_text().replace("epochs: 3", "epochs: 9"))
    with pytest.raises(
        ValueError, match="short/fold0 has 3 of 9 epochs and is still to be trained"
    ):
        start(f"geometry.from_run={tmp_path / 'short'}")
    with pytest.raises(ValueError, match="fold0 has its own windows found by another network; giv"):
        start(f"geometry.from_run={made / 'runs' / 'found'}")
    with pytest.raises(
        FileNotFoundError, match="geometry.from_run: .*small is not a folder; put it"
    ):
        start()
    with pytest.raises(FileNotFoundError, match=r"has no best.pt and none in fold3 or full"):
        start(f"geometry.from_run={trained.run}", fold=3)
    assert not list((tmp_path / "found").glob("fold*/*"))


def test_whom_a_detector_has_seen_counts_for_what_its_run_teaches(made, trained):
    """Weights trained in windows of a network that knows a patient are no start for his fold."""
    config = _config(trained, made, f"geometry.from_run={trained.run}")
    table = experiment.rows(config, experiment.source(config))
    of_fold = [set(table["case"][table["fold"] != fold]) for fold in (0, 1)]
    assert warm_start.trained_on(config, 0) == of_fold[0]
    other = _config(trained, made, f"geometry.from_run={trained.run / 'fold1'}")
    assert warm_start.trained_on(other, 0) == of_fold[0] | of_fold[1] > of_fold[0]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("coronal", ["view=coronal", "geometry.size=[16, 32]"]),
        ("prior", ["prior_day={}"]),
        (
            "volume",
            [
                *("model={name: dynunet, params: {dims: 3, widths: [4, 4, 8]}}",),
                *("volume={patch: [4, 32, 32]}", "train.batch_size=1"),
            ],
        ),
    ],
)
def test_every_kind_of_network_looks_at_the_box(name, changes, made, trained, tmp_path):
    short = [
        f"runs={tmp_path}",
        f"name={name}",
        "train.steps=1",
        f"geometry.from_run={trained.run}",
    ]
    config = _config(trained, made, *short, *changes)
    assert train_fold(config, 1)["steps"] == 1
    opened = runs.open_fold(tmp_path / name / "fold1")
    boxes = json.loads((opened.folder / "boxes.json").read_text())
    network, scan = runs.predictor(opened, "none"), next(iter(opened.planes))
    found = network(opened.data.scan(scan))
    top, bottom, left, right = boxes[opened.data.fingerprint(scan)]
    rows = slice(max(top - 2, 0), bottom + 2) if name != "coronal" else slice(None)
    inside = found[:, :, rows, max(left - 2, 0) : right + 2]
    assert inside.any() and found.sum(dtype=int) == inside.sum(dtype=int)
    assert inside.shape != found.shape
