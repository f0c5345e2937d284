"""Slices whose errors make the Hausdorff distances, on predictions that are wrong where we say."""

import contextlib
import math

import numpy as np
import pytest
import torch
from bench_cases import write_pictures

from gutseg import training
from gutseg.config import load
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sampler import BatchSampler
from gutseg.data.selection import Hard
from gutseg.data.sources.competition import Competition
from gutseg.engine import checkpoint
from gutseg.inference.hard_slices import HardSlices
from gutseg.training import train_fold

ONE, TWO = "case1_day0", "case2_day0"


@pytest.fixture
def opened(cache):
    inputs = Inputs(Stack(slices=1), Scaling(kind="scan"), Geometry(kind="native"))
    return Competition(cache, inputs)


class Wrong:
    """Predicts the labels, with what is wrong about a scan."""

    def __init__(self, source):
        self.source, self.asked = source, []

    def __call__(self, scan, z):
        self.asked.append(scan.name)
        found = np.stack([scan.labels[z] >> number & 1 for number in range(3)]) * np.uint8(255)
        found = found.astype(np.uint8)
        if scan.name == ONE:
            found[0, z == 6, 0, 0] = 255  # a speck in a corner
            found[1] = 0  # a class that is missed
        if scan.name == TWO:
            found[2, z == 3, 39, 47] = 255
        return found


def _hard(source, rows=None, axis=0, drawn=None, weights=None, **settings):
    rows = source.index if rows is None else rows
    drawn = rows if drawn is None else drawn
    ranks = {
        key: settings.pop(key) for key in ("rank", "world_size", "all_reduce") if key in settings
    }
    sampler = BatchSampler(source.shows_object(drawn), 4, seed=0, weights=weights)
    network = Wrong(source)
    settings = Hard(**{"every": 2} | settings)
    return HardSlices(settings, source, rows, lambda _: network, sampler, drawn, axis, **ranks)


def _names(hard):
    return [
        f"{s}/{z}"
        for s, z in hard.drawn.iloc[hard.positions][["scan", "z"]].itertuples(index=False)
    ]


def _most(source, name, number):
    return int((source.scan(name).labels >> number & 1).sum(axis=(1, 2)).argmax())


def test_the_slices_of_the_farthest_voxels_are_drawn_more_often(opened):
    hard = _hard(opened, factor=4.0)
    hard.begin(0, None)
    hard.begin(1, None)
    assert hard.positions == [] and hard.sampler.weights is None
    hard.begin(2, None)
    missed = _most(opened, ONE, 1)
    assert sorted(_names(hard)) == sorted({f"{ONE}/{missed}", f"{ONE}/6", f"{TWO}/3"})
    expected = np.ones(len(opened.index))
    expected[hard.positions] = 4
    assert np.array_equal(hard.sampler.weights, expected)
    # of three distances the longest third: a class that is missed is as far as a scan can be
    longest = _hard(opened, share=0.3)
    longest.begin(4, None)
    assert _names(longest) == [f"{ONE}/{missed}"]


def test_other_weights_stay_and_old_slices_go(opened):
    weights = np.linspace(1, 2, len(opened.index))
    hard = _hard(opened, weights=weights, factor=3.0)
    hard.draw([1, 5])
    hard.draw([5])
    changed = hard.sampler.weights / weights
    assert changed[5] == 3 and (np.delete(changed, 5) == 1).all()
    for bad in ([len(weights)], [-1], ["5"], [1.5]):
        with pytest.raises(ValueError, match="its hard slices are none of 46"):
            hard.draw(bad)


def test_only_planes_that_are_trained_on_are_predicted_and_drawn(opened):
    rows = opened.index[(opened.index["scan"] == TWO) & (opened.index["z"] != 3)]
    hard = _hard(opened, rows)
    hard.begin(2, None)
    assert hard.positions == []  # what is wrong lies in the slice that is held out
    few = opened.index[opened.index["scan"] == TWO]
    hard = _hard(opened, few, drawn=few[few["z"] < 3])  # crops of some slices
    hard.begin(2, None)
    assert hard.positions == []


def test_another_axis_counts_the_planes_of_another_view(opened):
    rows = opened.index[opened.index["scan"] == TWO]
    coronal = rows.iloc[[0] * 40].assign(z=np.arange(40))
    coronal[["large_bowel", "small_bowel", "stomach"]] = True
    hard = _hard(opened, rows, axis=1, drawn=coronal)
    hard.begin(2, None)
    assert _names(hard) == [f"{TWO}/39"]


def test_ranks_share_the_scans_and_find_the_same(opened):
    alone = _hard(opened)
    alone.begin(2, None)
    sums = []
    for rank in (0, 1):
        part = _hard(opened, rank=rank, world_size=2, all_reduce=lambda t: sums.append(t) or t)
        part.begin(2, None)
        assert len(part.wrap(None).asked) == 3
    for rank in (0, 1):
        part = _hard(opened, rank=rank, world_size=2, all_reduce=lambda _: sums[0] + sums[1])
        part.begin(2, None)
        assert part.positions == alone.positions
    assert float((sums[0] + sums[1])[..., 0].max()) == math.sqrt(3)


def test_a_training_that_is_stopped_resumes_with_its_hard_slices(tmp_path, monkeypatch):
    """Five epochs of which every second finds them anew, stopped in the fourth."""
    (tmp_path / "hard.yaml").write_text(
        f"data: {{source: png_folder, folder: {write_pictures(tmp_path / 'data')}, folds: 2,\n"
        "  hard: {every: 2, factor: 20, share: 0.4}, oversample: {any: 2}}\n"
        "geometry: {kind: native}\nloss: {name: ce}\noptim: {lr: 0.01}\n"
        "model: {name: unet, params: {widths: [4, 8], norm: batch}}\n"
        "train: {epochs: 5, batch_size: 2, monitor: null, tensorboard: false}\n"
    )
    states, seen = [], training.Evaluator.__call__
    for name, last in (("straight", 99), ("stopped", 4), ("stopped", 99)):
        config = load(tmp_path / "hard.yaml", [f"runs={tmp_path / name}"])
        calls = []

        def stop(self, *given, last=last, calls=calls):
            calls.append(1)
            if len(calls) == last:
                raise KeyboardInterrupt
            return seen(self, *given)

        monkeypatch.setattr(training.Evaluator, "__call__", stop)
        with contextlib.suppress(KeyboardInterrupt):
            train_fold(config, 0)
        states.append(checkpoint.load(tmp_path / name / "hard" / "fold0" / "last.pt"))
    straight, half, resumed = states
    assert len(half["history"]) == 3 and len(calls) == 2
    assert straight["hard"] == resumed["hard"] != [] and len(half["hard"]) > 0
    weights = (one["learner"]["model"] for one in (straight, resumed))
    assert all(torch.equal(a, b) for a, b in zip(*map(dict.values, weights), strict=True))
    path = tmp_path / "stopped" / "hard" / "fold0" / "last.pt"
    checkpoint.save(path, {key: half[key] for key in ("learner", "history")})
    with pytest.raises(ValueError, match="last.pt does not fit this training .it holds no hard sl"):
        train_fold(config, 0)


@pytest.mark.parametrize("budget", ["seconds: 9", "steps: 9"])
def test_a_budget_that_is_one_epoch_leaves_no_time_to_find_them(tmp_path, budget):
    (tmp_path / "a.yaml").write_text(f"data: {{hard: {{}}}}\ntrain: {{{budget}}}\n")
    with pytest.raises(ValueError, match="data.hard: .* one epoch; give train.steps_per_epoch"):
        load(tmp_path / "a.yaml")
