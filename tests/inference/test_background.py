"""Background reuse, on a 4 x 4 picture that is worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from gutseg.config import Predict, Rule
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources.pictures import Pictures, picture
from gutseg.inference import oof
from gutseg.inference.background import is_background, reuse_background
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.made_with import MadeWith, of_scan
from gutseg.metrics.pooled import measures

SEEN = np.array([[0, 1, 1, 0], [0, 1, 2, 0], [0, 2, 2, 0], [1, 0, 0, 2]])  # by the multi-class one
OBJECT = np.array([[0, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])  # by the binary one
REUSED = np.array([[0, 1, 0, 0], [0, 1, 2, 0], [0, 2, 0, 0], [0, 0, 0, 2]])
TRUTH = np.array([[0, 1, 0, 0], [0, 1, 2, 0], [0, 2, 2, 0], [0, 0, 0, 0]])


def _likely(numbers, classes, dtype=float, sure=0.6):
    """Probabilities (C, H, W) whose likeliest classes are the numbers."""
    full = 255 if dtype == np.uint8 else 1
    spread = np.where(np.arange(classes)[:, None, None] == numbers, sure, (1 - sure) / 2)
    return np.rint(spread * 255).astype(np.uint8) if full == 255 else spread


@pytest.mark.parametrize("dtype", [float, np.uint8])
def test_the_likeliest_class_counts_where_the_binary_network_sees_an_object(dtype):
    found = _likely(SEEN, 3, dtype)
    covered = is_background(_likely(OBJECT, 2, dtype), "multiclass", 0)
    assert np.array_equal(covered, OBJECT == 0)
    laid = reuse_background(found, covered, 0)
    assert np.array_equal(laid.argmax(axis=0), REUSED) and laid.dtype == found.dtype
    assert (laid[0, covered] == (255 if dtype == np.uint8 else 1)).all()
    assert np.array_equal(laid[:, ~covered], found[:, ~covered])
    assert np.array_equal(found, _likely(SEEN, 3, dtype))  # its input stays


def test_masks_are_laid_over_as_probabilities_are():
    masks = np.arange(3)[:, None, None] == SEEN
    laid = reuse_background(masks, OBJECT == 0, 0)
    assert laid.dtype == bool and np.array_equal(laid, np.arange(3)[:, None, None] == REUSED)


def test_the_background_may_be_any_class():
    """Here it is class 2, and class 0 an object."""
    laid = reuse_background(_likely((SEEN + 2) % 3, 3), OBJECT == 0, 2)
    assert np.array_equal(laid.argmax(axis=0), (REUSED + 2) % 3)
    assert np.array_equal(is_background(_likely(1 - OBJECT, 2), "multiclass", 1), OBJECT == 0)


def test_organs_are_gated_where_classes_overlap():
    found = np.full((3, 4, 4), 200, np.uint8)
    said = np.where(OBJECT, 128, 127).astype(np.uint8)[None]  # 128 of 255 is the first above 0.5
    covered = is_background(said, "multilabel", None)
    assert np.array_equal(covered, OBJECT == 0)
    laid = reuse_background(found, covered, None)
    assert (laid[:, OBJECT == 0] == 0).all() and (laid[:, OBJECT == 1] == 200).all()
    several = np.stack([said[0], np.where(SEEN == 1, 255, 0).astype(np.uint8)])
    assert np.array_equal(is_background(several, "multilabel", None), (OBJECT == 0) & (SEEN != 1))


def _run(folder, name, numbers, *, binary=False, folds="f", planes=(0,)):
    """Out-of-fold predictions of one picture."""
    inputs = Inputs(Stack(), Scaling(), Geometry(kind="native"))
    one = picture("a", np.zeros((4, 4, 1)), TRUTH)
    names = ("background", "round", "long")
    data = Pictures([one], inputs, names, "multiclass", background=0, binary=binary)
    z, found = np.array([0]), _likely(numbers, len(data.classes), np.uint8)
    oof.save(folder / name / "fold0" / "oof" / "a.npz", found[:, None], z)
    made = MadeWith("w", "none", "s", folds, {"a": of_scan(name, np.array(planes))})
    return oof.OutOfFold(folder / name, {0: {"a": z}}, {0: made}, data)


def test_measures_of_a_combination_are_those_worked_out_by_hand(tmp_path):
    member = oof.with_background(
        _run(tmp_path, "m", SEEN), _run(tmp_path, "b", OBJECT, binary=True)
    )
    whole, _ = member.load("a", (1, 4, 4))
    assert np.array_equal(whole[:, 0].argmax(axis=0), REUSED)
    counts = oof.count_pictures(member)["all"]
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()) == (
        *([10, 2, 2], [1, 0, 1], [1, 0, 1]),
    )
    found = measures(counts, member.data.classes, "multiclass", 0)
    assert found["dice"] == pytest.approx((20 / 22 + 1 + 4 / 6) / 3)
    assert found["iou"] == pytest.approx((10 / 12 + 1 + 2 / 4) / 3)
    assert found["precision"] == found["recall"] == pytest.approx((10 / 11 + 1 + 2 / 3) / 3)


@pytest.mark.parametrize("change", [{"folds": "g"}, {"planes": [1]}])
def test_a_background_of_other_images_is_refused(tmp_path, change):
    other = _run(tmp_path, "b", OBJECT, binary=True, **change)
    with pytest.raises(ValueError, match=r"m and .*b hold out other images in fold 0; train and"):
        oof.with_background(_run(tmp_path, "m", SEEN), other)


def test_a_background_is_of_the_same_kind_of_classes(tmp_path):
    member, other = _run(tmp_path, "m", SEEN), _run(tmp_path, "b", OBJECT, binary=True)
    other.data.mode = "multilabel"
    with pytest.raises(ValueError, match=r"b predicts multilabel classes and .*m multiclass ones"):
        oof.with_background(member, other)


def test_runs_of_other_classes_are_not_blended(tmp_path):
    members = _run(tmp_path, "m", SEEN), _run(tmp_path, "b", OBJECT, binary=True)
    with pytest.raises(ValueError, match=r"m predicts background, round, long and .*b background,"):
        oof.check_same_scans(members)


class Says:
    """In the place of a Predictor: always the same bytes."""

    inputs, settings, sees = None, Predict(), ()

    def __init__(self, found):
        self.found = found

    def stacks(self, parts):
        yield parts, np.zeros(1)

    def predict(self, batch, images):
        return self.found


def test_an_ensemble_has_no_organ_where_the_mean_of_its_gates_sees_none():
    image = np.zeros((1, 4, 4))
    scan, z = SimpleNamespace(shape=(1, 4, 4), image=image, voxel_mm=None), np.array([0])
    organs = Says(np.full((1, 1, 4, 4), 255, np.uint8))
    gates = [Says(np.where(OBJECT == 1, top, 0).astype(np.uint8)[None, None]) for top in (255, 1)]
    plain = Ensemble([organs], [1.0], [Rule()])
    assert plain(scan, z).to_arrays().all()
    gated = Ensemble([organs], [1.0], [Rule()], gates)
    assert np.array_equal(gated(scan, z).to_arrays()[0, 0], OBJECT == 1)  # mean 128
    none = Ensemble([organs], [1.0], [Rule()], gates[1:])
    assert not none(scan, z).to_arrays().any()
