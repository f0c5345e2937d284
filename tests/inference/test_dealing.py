"""Scans dealt out to workers: the same texts whoever predicts what beside what."""

import logging
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from folders import draw, write_scan
from torch import nn

from gutseg.config import Predict
from gutseg.constants import CLASSES
from gutseg.data.index import Issues, list_slices
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.volume import describe, read_file
from gutseg.inference import dealing, predictor
from gutseg.inference.dealing import deal, devices, threads_of
from gutseg.inference.ensemble import Ensemble, mean_of, weighted_mean
from gutseg.inference.parts import Part
from gutseg.inference.postprocess import Rule
from gutseg.inference.predictor import Predictor, cut
from gutseg.inference.scan_texts import scan_texts

CPU = torch.device("cpu")
INPUTS = Inputs(Stack(slices=3), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)))


class Bright(nn.Module):
    """Every class where the image is bright; notes the sizes of its batches."""

    def __init__(self, most=99):
        super().__init__()
        self.most, self.sizes = most, []

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        limits = torch.tensor([0.3, 0.5, 0.7])[:, None, None]
        return 40 * (images[:, 1:2] - limits)


def _ensemble(network, batch_size=4):
    made = Predictor(network, INPUTS, Predict(batch_size=batch_size), device=CPU)
    return Ensemble([made], [1.0], [Rule()] * len(CLASSES))


def _scan(name, depth, seed=0):
    return describe(name, draw(depth, 40, 48, seed)[0])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Four scans, three of one size; all planes are wanted but the first of one scan."""
    root = tmp_path_factory.mktemp("dealt")
    shapes = {"case1_day0": (5, 40, 48), "case2_day0": (3, 40, 48), "case3_day0": (4, 36, 36)}
    for seed, (scan, shape) in enumerate((shapes | {"case4_day0": (6, 36, 36)}).items()):
        write_scan(root, scan, *draw(*shape, seed), part="test")
    slices = list_slices(root / "test", Issues())
    return root, slices.assign(wanted=slices["id"] != "case1_day0_slice_0001")


def _texts(world, workers, *, fill, issues=None):
    root, slices = world
    return scan_texts(
        slices, lambda file: read_file(root / file), workers, issues or Issues(), fill=fill
    )


def test_results_come_in_order_and_reading_keeps_a_short_lead():
    taken, done, second = [], [], threading.Event()

    def units():
        for number in range(9):
            taken.append(number)
            yield number

    def work(worker, unit):
        if unit == 0:
            assert second.wait(10)  # another worker is at work meanwhile
        if unit == 1:
            second.set()
        done.append((worker, unit))
        return unit**2

    leads = []
    for number, result in enumerate(deal(units(), work, ["a", "b"])):
        assert result == number**2
        leads.append(len(taken) - number)
    assert max(leads) == 4 and {worker for worker, _ in done} == {"a", "b"}


def test_after_an_error_no_more_units_are_taken():
    taken = []

    def units():
        for number in range(50):
            taken.append(number)
            yield number

    with pytest.raises(ZeroDivisionError):
        list(deal(units(), lambda worker, unit: 1 / (unit - 1), ["a"]))
    assert len(taken) <= 4


def test_batches_are_filled_with_planes_of_the_next_scan():
    scans = [_scan(name, 5) for name in ("case1_day0", "case2_day0", "case3_day0")]
    planes = [np.arange(5), np.array([3]), np.array([4, 2, 1, 0])]
    parts = [Part(scan, z) for scan, z in zip(scans, planes, strict=True)]
    found = [[(part.scan.name, part.z.tolist()) for part in batch] for batch in cut(parts, 4)]
    assert found == [
        [("case1_day0", [0, 1, 2, 3])],
        [("case1_day0", [4]), ("case2_day0", [3]), ("case3_day0", [4, 2])],
        [("case3_day0", [1, 0])],
    ]


def test_out_of_memory_halves_the_batch_for_good_and_changes_nothing(caplog):
    caplog.set_level(logging.WARNING)
    network, scan = Bright(most=3), _scan("case1_day0", 9)
    made = Predictor(network, INPUTS, Predict(batch_size=8), device=CPU, name="runs/x/fold0")
    plain = Predictor(Bright(), INPUTS, Predict(batch_size=8), device=CPU)(scan)
    np.testing.assert_array_equal(made(scan), plain)
    assert network.sizes == [8, 4, 2, 2, 2, 2, 1]
    assert [record.message for record in caplog.records] == [
        "runs/x/fold0: out of memory at 8 planes; 4 at a time from now on",
        "runs/x/fold0: out of memory at 4 planes; 2 at a time from now on",
    ]
    network.sizes.clear()
    np.testing.assert_array_equal(made(scan), plain)
    assert network.sizes == [2, 2, 2, 2, 1] and len(caplog.records) == 2


def test_a_processor_predicts_as_many_planes_at_a_time_as_its_cache_holds(monkeypatch):
    network, scan = Bright(), _scan("case1_day0", 9)
    made = Predictor(network, INPUTS, Predict(batch_size=8, tta="hflip"), device=CPU)
    plain = made(scan)
    assert network.sizes == [8, 8, 1, 1]  # and once more mirrored
    for pixels, sizes in ((3 * 48 * 64, [3, 3, 3, 3, 2, 2, 1, 1]), (1, [1] * 18)):
        monkeypatch.setattr(predictor, "CPU_PIXELS", pixels)
        network.sizes.clear()
        np.testing.assert_array_equal(made(scan), plain)
        assert network.sizes == sizes


def test_a_plane_that_does_not_fit_alone_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        Predictor(Bright(most=0), INPUTS, Predict(batch_size=4), device=CPU)(_scan("case1_day0", 3))


def test_the_mean_in_batches_is_the_weighted_mean_to_the_bit():
    """Networks that see the same share its preparation, others prepare their own."""
    torch.manual_seed(0)
    wide = Inputs(Stack(slices=3), Scaling(kind="stack"), Geometry(kind="resize", size=(32, 32)))
    seen = ((INPUTS, 4), (INPUTS, 4), (wide, 4), (INPUTS, 3))
    predictors = [
        Predictor(nn.Conv2d(3, 3, 3, padding=1), inputs, Predict(batch_size=size), device=CPU)
        for inputs, size in seen
    ]
    parts = [
        Part(_scan("case1_day0", 5), np.arange(5)),
        Part(_scan("case2_day0", 7, 1), np.r_[6:0:-1]),
    ]
    weights = [0.3, 1.1, 0.2, 0.7]
    alone = [
        weighted_mean([one(part.scan, part.z) for one in predictors], weights) for part in parts
    ]
    # scan by scan the batches are the same, and so is every bit
    found = np.concatenate([mean_of(predictors, weights, [part]) for part in parts], axis=1)
    np.testing.assert_array_equal(found, np.concatenate(alone, axis=1))
    # together they are filled: at most the last bit of a byte may differ
    both = mean_of(predictors, weights, parts)
    assert np.abs(both.astype(int) - found).max() <= 1


def test_stacks_of_other_lengths_and_strides_are_members_of_one_mean():
    """Every member gets its own neighbours: by hand, from the scan's grey values."""
    torch.manual_seed(0)
    scan, z, weights = _scan("case1_day0", 9), np.array([0, 4, 8]), [0.2, 0.3, 0.1, 0.4]
    grey = torch.from_numpy(scan.image / np.float32(scan.percentile(100)))
    members, expected = [], 0.0
    for weight, (slices, stride) in zip(weights, [(1, 1), (3, 2), (5, 1), (7, 3)], strict=True):
        network = nn.Conv2d(slices, 3, 3, padding=1)
        inputs = replace(INPUTS, stack=Stack(slices=slices, stride=stride))
        members.append(Predictor(network, inputs, Predict(), device=CPU))
        reach = stride * (slices // 2)
        planes = [
            [min(max(one + step, 0), 8) for step in range(-reach, reach + 1, stride)] for one in z
        ]
        with torch.inference_mode():
            said = network(grey[torch.tensor(planes)].float()).sigmoid().numpy()
        expected = expected + weight * np.rint(255 * said.swapaxes(0, 1))
    found = mean_of(members, weights, [Part(scan, z)])
    assert np.abs(found - expected).max() <= 1 and np.ptp(found) > 5


@pytest.mark.parametrize("workers", [2, 3])
def test_the_texts_do_not_depend_on_the_number_of_workers(world, workers):
    torch.manual_seed(0)
    ensembles = [_ensemble(nn.Conv2d(3, 3, 3, padding=1)) for _ in range(workers)]
    for one in ensembles[1:]:
        one.predictors[0].model.load_state_dict(ensembles[0].predictors[0].model.state_dict())
    alone = _texts(world, ensembles[:1], fill=False)
    assert _texts(world, ensembles, fill=False) == alone
    assert len(alone) == 17 * len(CLASSES) and any(alone.values())


def test_where_batches_are_filled_the_texts_stay(world):
    network = Bright()
    filled = _texts(world, [_ensemble(network, 3)], fill=True)
    # 4 + 3 planes of one size, then 4 + 6 of another
    assert network.sizes == [3, 3, 1, 3, 3, 3, 1]
    network.sizes.clear()
    assert _texts(world, [_ensemble(network, 3)], fill=False) == filled
    assert network.sizes == [3, 1, 3, 3, 1, 3, 3]


def test_a_scan_that_fails_costs_its_batch_nothing(world):
    class Failing(Bright):
        def forward(self, images):
            if len(images) in (3, 4 + 3):  # one scan of three planes, alone or after another
                raise RuntimeError("bad luck")
            return super().forward(images)

    issues = Issues(collect=True)
    found = _texts(world, [_ensemble(Failing(), 8)], fill=True, issues=issues)
    whole = _texts(world, [_ensemble(Bright(), 8)], fill=True)
    lost = {pair for pair in whole if pair[0].startswith("case2_day0")}
    assert found == {pair: text for pair, text in whole.items() if pair not in lost} and lost
    assert issues.rows == [("case2_day0", "cannot be predicted (RuntimeError: bad luck)")]


def test_the_gpus_that_are_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5))
    assert [str(one) for one in devices(None)] == ["cuda:0", "cuda:1"]
    assert [str(one) for one in devices(1)] == ["cuda:0"] and devices(0) == [CPU]
    with pytest.raises(ValueError, match="--gpus 3: this machine has 2; leave it out to use all"):
        devices(3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices(None) == [CPU]


def test_every_thread_of_the_processor_has_a_core_of_its_own(monkeypatch):
    monkeypatch.setattr(dealing, "num_cores", lambda: 20)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with threads_of([CPU]) as count:
            assert (count, torch.get_num_threads()) == (8, 1)
        assert torch.get_num_threads() == 3
        with threads_of([torch.device("cuda", 0)] * 2) as count:
            assert (count, torch.get_num_threads()) == (2, 3)
    finally:
        torch.set_num_threads(before)
