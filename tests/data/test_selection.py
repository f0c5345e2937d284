"""Which training slices are drawn, and how often: counted by hand on a stack of nine planes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from bench_cases import blob_source

from gutseg import epochs, experiment
from gutseg.config import load
from gutseg.data.batches import Crops, Whole
from gutseg.data.folds import FULL
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.patches import Patches
from gutseg.data.sampler import BatchSampler, WeightedStepSampler
from gutseg.data.selection import Dropped, draw_weights, weighted_draw, without_dropped
from gutseg.data.sources.source import Source
from gutseg.engine.distributed import World

HERE = World(0, 1, torch.device("cpu"))
# pixels of class a and of class b on every plane of two scans
PIXELS = {
    "one": [(0, 0), (1, 1), (0, 0), (5, 0), (0, 0), (0, 0)],
    "two": [(0, 0), (0, 2), (9, 9)],
    "none": [(0, 0), (0, 0)],
}


class Drawn(Source):
    """Volumes of 4 x 5 pixels, two classes that may overlap."""

    classes, mode, has_volumes = ("a", "b"), "multilabel", True

    def __init__(self, background=None):
        self.background = background
        self.inputs = Inputs(Stack(), Scaling(), Geometry(kind="native"))
        rows = [
            {"id": f"{name}{z}", "group": name, "scan": name, "z": z, "a": a > 0, "b": b > 0}
            for name, planes in PIXELS.items()
            for z, (a, b) in enumerate(planes)
        ]
        self.index = pd.DataFrame(rows)

    def scan(self, name):
        labels = np.zeros((len(PIXELS[name]), 4, 5), np.uint8)
        for plane, counts in zip(labels.reshape(len(labels), -1), PIXELS[name], strict=True):
            for number, count in enumerate(counts):
                plane[:count] |= 1 << number
        return SimpleNamespace(name=name, labels=labels, shape=labels.shape)

    def fingerprint(self, name):
        return name


def _left(dropped, fold=FULL, folds=None, **background):
    table = Drawn().index.assign(fold=1 if folds is None else folds)
    return " ".join(without_dropped(table, Drawn(**background), dropped, fold)["id"])


def test_what_is_dropped_by_hand():
    every = "one0 one1 one2 one3 one4 one5 two0 two1 two2 none0 none1"
    assert _left(None) == _left(Dropped()) == every
    # both classes together: one1 has two pixels, two1 two, one3 five
    assert _left(Dropped(below_pixels=2)) == every
    assert _left(Dropped(below_pixels=3)) == "one0 one2 one3 one4 one5 two0 two2 none0 none1"
    # of the classes that are objects alone: one1 has one
    assert " one1 " not in _left(Dropped(below_pixels=2), background=1)
    # a scan that shows nothing has no tail
    assert _left(Dropped(tail=True)) == "one0 one1 one2 one3 two0 two1 two2 none0 none1"


def test_held_out_slices_are_never_dropped():
    folds = Drawn().index["scan"].map({"one": 0, "two": 1, "none": 1})
    dropped = Dropped(below_pixels=6, tail=True)
    held_out = "one0 one1 one2 one3 one4 one5 two0 two2 none0 none1"
    assert _left(dropped, 0, folds) == held_out
    assert _left(dropped, 1, folds) == "one0 one2 two0 two1 two2 none0 none1"
    table = Drawn().index.assign(fold=[0, 1] + 9 * [0])
    with pytest.raises(ValueError, match="data.drop leaves none of 1 training slices; lower below"):
        without_dropped(table, Drawn(), Dropped(below_pixels=99), 0)


def test_weights_are_the_highest_factor_of_what_a_slice_shows():
    data = Drawn()
    rows = data.index[data.index["scan"] == "two"]
    assert draw_weights(rows, data, {"a": 3}).tolist() == [1, 1, 3]
    assert draw_weights(rows, data, {"a": 3, "any": 1.5}).tolist() == [1, 1.5, 3]
    assert draw_weights(rows, data, {"any": 4, "a": 3}).tolist() == [1, 4, 4]
    with pytest.raises(
        ValueError, match=r"data.oversample: 'c' is not a class; choices: a, b, any"
    ):
        draw_weights(rows, data, {"c": 2})


def test_every_position_is_drawn_as_often_as_is_its_due():
    random, weights = np.random.default_rng(0), np.array([1.0, 2.0, 0.5, 4.5])
    for _ in range(20):
        drawn = np.bincount(weighted_draw(weights, 16, random), minlength=4)
        assert drawn.tolist() == [2, 4, 1, 9]
        few = np.bincount(weighted_draw(weights, 4, random), minlength=4)
        assert ((few >= [0, 1, 0, 2]) & (few <= [1, 1, 1, 3])).all() and few.sum() == 4
    assert sorted(weighted_draw(np.full(7, 1.3), 7, random)) == list(range(7))
    total = sum(np.bincount(weighted_draw(weights, 3, random), minlength=4) for _ in range(4000))
    assert total / 4000 == pytest.approx(3 * weights / 8, abs=0.03)


def _epoch(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return np.concatenate([batch.positions for batch in sampler])


def test_an_epoch_is_as_long_and_shows_chosen_slices_more_often():
    has_label = np.arange(40) % 4 == 0  # 10 of 40
    weights = np.where(has_label, 3.0, 1.0)
    plain, more = (BatchSampler(has_label, 8, seed=0, weights=w) for w in (None, weights))
    assert len(plain) == len(more) == 5
    # 10 x 3 of 60 shares: half of the 40
    assert has_label[_epoch(more)].sum() == 20 and has_label[_epoch(plain)].sum() == 10
    assert np.array_equal(_epoch(more, 1), _epoch(more, 1))
    assert not np.array_equal(_epoch(more, 1), _epoch(more, 2))
    # of the six empty ones that an epoch sees; 16 in two batches: 30 of 36 shares
    less = BatchSampler(has_label, 8, seed=0, weights=weights, empty_share=0.2)
    assert len(less) == 2 and has_label[_epoch(less)].sum() in (13, 14)
    ranks = [
        BatchSampler(has_label, 4, seed=0, weights=weights, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    both = np.stack([_epoch(one).reshape(-1, 4) for one in ranks], axis=1).ravel()
    assert np.array_equal(both, _epoch(more))


def test_crops_and_patches_come_from_the_slices_that_are_drawn():
    weights = np.array([1.0, 1.0, 2.0])
    sampler = WeightedStepSampler(500, weights, 4, (7, 0), rank=1, world_size=2)
    steps = list(sampler)
    assert [step.number for step in steps[:3]] == [1, 3, 5]
    counts = np.bincount(np.concatenate([step.positions for step in steps]))
    assert counts / 2000 == pytest.approx([0.25, 0.25, 0.5], abs=0.04)
    assert np.array_equal(next(iter(sampler)).positions, steps[0].positions)
    other = WeightedStepSampler(500, weights, 4, (7, 1), rank=1, world_size=2)
    assert any(not np.array_equal(a.positions, b.positions) for a, b in zip(steps, other))  # noqa: B905


@pytest.fixture(scope="module")
def yaml(cache, tmp_path_factory):
    path = tmp_path_factory.mktemp("selection") / "small.yaml"
    text = (
        f"data: {{folder: {cache}, folds: 2}}\nmodel: {{name: unet, params: {{widths: [4, 8]}}}}\n"
    )
    path.write_text(text + "geometry: {size: [32, 32]}\ntrain: {batch_size: 4}\n")
    return path


def _made(yaml, *changes):
    config = load(yaml, list(changes))
    data = experiment.source(config)
    table = experiment.rows(config, data)
    made = epochs.batches(config, data, table[table["fold"] != 0], 0)
    return made, epochs.sampler(config, made, HERE)


VOLUME = ["model={name: dynunet, params: {dims: 3}}", "volume={patch: [3, 16, 16], foreground: 0}"]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(Whole, []), (Crops, ["crop={size: [16, 16]}"]), (Patches, [*VOLUME, "stack.slices=1"])],
)
def test_every_kind_of_batch_is_drawn_by_class(yaml, kind, changes):
    made, plain = _made(yaml, *changes)
    _, sampler = _made(yaml, "data.oversample={stomach: 100}", *changes)
    assert type(made) is kind and len(plain) == len(sampler)
    shown = made.rows["stomach"].to_numpy()
    drawn = np.concatenate([item.positions for item in sampler])
    assert shown[drawn].mean() > 0.9 > shown.mean()
    item = next(iter(sampler))
    rows = made.rows.iloc[item.positions]
    ids = made[item]["ids"]
    if kind is Patches:  # patches of three slices, in the middle where the scan has so many
        middle = rows["z"].clip(1, rows["scan"].map(made.rows.groupby("scan")["z"].max()) - 1)
        starts = zip(rows["scan"], middle - 1, strict=True)
        assert [text.split(", ")[0] for text in ids] == [f"{s} from slice {z}" for s, z in starts]
    else:
        assert ids == rows["id"].tolist()


def test_factors_of_objects_and_settings_that_are_refused(yaml):
    source = blob_source()
    assert draw_weights(source.index, source, {"large": 2, "any": 2}).tolist() == [2] * 6
    for change in ("oversample={stomach: 0.5}", "oversample={}", "drop={tial: true}"):
        with pytest.raises(ValueError, match=f"data.{change.split('=')[0]}"):
            _made(yaml, f"data.{change}")
