"""Out-of-fold files and the note of what made them."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest

from gutseg.constants import CLASSES
from gutseg.inference import made_with, oof
from gutseg.inference.made_with import MadeWith, of_scan
from gutseg.inference.postprocess import Rule
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, compare

MADE = MadeWith("w", "none", "s", "f", {"a": of_scan("x", np.array([0, 3])), "b": {}})

DATA = SimpleNamespace(classes=CLASSES)


def test_out_of_fold_files(tmp_path):
    rng = np.random.default_rng(0)
    parts = {0: np.array([0, 3]), 1: np.array([1, 2])}
    volumes = {fold: rng.integers(0, 255, (3, 2, 4, 5)).astype(np.uint8) for fold in parts}
    for fold, z in parts.items():
        oof.save(tmp_path / f"fold{fold}/oof/case1_day0.npz", volumes[fold], z)
    planes = {fold: {"case1_day0": z} for fold, z in parts.items()}
    found = oof.OutOfFold(tmp_path, planes, {0: MADE, 1: MADE}, DATA)
    assert (found.folds, found.scans, found.tta) == ([0, 1], ["case1_day0"], "none")
    whole, seen = found.load("case1_day0", (5, 4, 5))
    np.testing.assert_array_equal(whole[:, [0, 3]], volumes[0])
    np.testing.assert_array_equal(whole[:, [1, 2]], volumes[1])
    assert whole.dtype == np.uint8
    assert seen.tolist() == [True] * 4 + [False]
    only, seen = found.load("case1_day0", (5, 4, 5), fold=1)
    assert seen.tolist() == [False, True, True, False, False] and not only[:, 0].any()
    (tmp_path / "fold0/oof/case1_day0.npz").unlink()
    whole, seen = found.load("case1_day0", (5, 4, 5))
    assert not whole[:, [0, 3]].any() and seen.tolist() == [True] * 4 + [False]
    (tmp_path / "fold0/oof/case1_day0.npz").symlink_to("moved.npz")
    with pytest.raises(FileNotFoundError, match="case1_day0.npz is a link to moved.npz, which is"):
        found.load("case1_day0", (5, 4, 5))


Z = np.array([0, 1])
ONES = np.ones((3, 2, 4, 5), np.uint8)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (
            lambda p: oof.save(p, np.zeros((3, 3, 4, 5), np.uint8), Z),
            r"expected uint8 \(3, 2, 4, 5",
        ),
        (
            lambda p: oof.save(p, np.zeros((3, 2, 5, 4), np.uint8), Z),
            r"holds uint8 \(3, 2, 5, 4\);",
        ),
        (lambda p: oof.save(p, ONES / 2, Z), "holds float64"),
        (lambda p: oof.save(p, ONES, Z + 1), "holds other planes than"),
        (lambda p: np.savez(p, z=Z), "not a readable prediction .KeyError"),
        (
            lambda p: np.savez(p, probabilities=[{}], z=Z),
            "readable prediction .ValueError.;",
        ),
        (lambda p: p.write_bytes(p.read_bytes()[:-40]), "not a readable prediction .BadZipFile"),
        (lambda p: p.write_bytes(b""), "not a readable prediction"),
    ],
)
def test_a_prediction_that_is_not_whole_is_named(tmp_path, write, message):
    path = tmp_path / "case1_day0.npz"
    oof.save(path, ONES, Z)
    assert oof.load(path, 3, Z, (4, 5)).all()
    write(path)
    with pytest.raises(ValueError, match=f"case1_day0.npz .*{message}") as caught:
        oof.load(path, 3, Z, (4, 5))
    assert str(caught.value).endswith("; run: gutseg predict RUN")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"weights": "other"}, ["best.pt"]),
        ({"weights": None, "tta": "hflip"}, ["best.pt", "the flips"]),
        ({"settings": "t"}, ["config.yaml"]),
        ({"folds": "g"}, ["the fold file"]),
        ({"scans": {"b": {}}}, ["1 scan (a) of the cache"]),
        ({"scans": MADE.scans | {"a": of_scan("y", Z)}}, ["1 scan (a) of the cache"]),
        (
            {"scans": MADE.scans | {str(n): {} for n in range(7)}},
            ["7 scans (0, 1, 2, 3, 4, and 2 more) of the cache"],
        ),
    ],
)
def test_what_has_changed_is_named(change, words):
    now = MadeWith(**(vars(MADE) | change))
    assert MADE.changes(now) == words


def test_a_scan_is_kept_while_all_that_made_it_is_the_same():
    grown = MadeWith(**(vars(MADE) | {"folds": "g", "scans": MADE.scans | {"c": {}}}))
    assert [MADE.holds_for(scan, grown) for scan in "abc"] == [True, True, False]
    for change in ({"weights": None}, {"tta": "flips"}, {"settings": ""}):
        assert not MADE.holds_for("a", MadeWith(**(vars(MADE) | change)))
    other = MadeWith(**(vars(MADE) | {"scans": {"a": of_scan("x", Z)}}))
    assert not MADE.holds_for("a", other) and not MADE.holds_for("b", other)


def test_hashes_are_sha256_and_settings_have_no_order(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert made_with.hash_file(tmp_path / "best.pt") == sha256
    assert made_with.hash_file(tmp_path / "last.pt") is None
    assert made_with.hash_file(tmp_path) is None
    text = b'{"a": [1, 2], "b": null}'
    assert made_with.hash_values({"b": None, "a": [1, 2]}) == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("a", "1 scan (a)"),
        ("ba", "2 scans (a, b)"),
        ("abcde", "5 scans (a, b, c, d, e)"),
        ("abcdef", "6 scans (a, b, c, d, e, and 1 more)"),
    ],
)
def test_five_names_of_many(names, text):
    assert made_with.counted(list(names), "scan") == text


def test_a_scan_is_noted_with_its_planes():
    assert of_scan("x", np.array([0, 3])) == {"cache": "x", "planes": "0 3"}


@pytest.mark.parametrize(
    "wrong", [{"weights": 1}, {"tta": None}, {"settings": 2}, {"folds": []}, {"scans": []}]
)
def test_a_note_of_other_types_is_none(tmp_path, wrong):
    made_with.write(tmp_path, MadeWith(**(vars(MADE) | wrong)))
    assert made_with.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weights_sha256": "x", "tta": "none"}', "{"])
def test_a_note_is_read_whole_or_not_at_all(tmp_path, text):
    made_with.write(tmp_path, MADE)
    assert made_with.read(tmp_path) == MADE
    (tmp_path / "made_with.json").write_text(text)
    assert made_with.read(tmp_path) is None


@pytest.mark.parametrize("metric", ["default", "page_text"])
def test_blends_are_compared_by_fold_and_together(tmp_path, metric):
    """Two runs, folds that divide scan a and leave out its last plane; b is in one fold alone."""
    rng = np.random.default_rng(0)
    shape = (5, 6, 70)
    labels = {name: rng.integers(0, 8, shape).astype(np.uint8) for name in "ab"}
    planes = {0: {"a": np.array([0, 3]), "b": np.arange(5)}, 1: {"a": np.array([1, 2])}}
    scans = {name: SimpleNamespace(shape=shape, labels=mask) for name, mask in labels.items()}
    data = SimpleNamespace(classes=CLASSES, scan=scans.get, voxel_mm=lambda _: (3, 1.5, 1.5))
    runs, bytes_of = [], {}
    for run in range(2):
        for fold, scans in planes.items():
            for scan, z in scans.items():
                part = rng.integers(0, 256, (3, len(z), *shape[1:])).astype(np.uint8)
                oof.save(tmp_path / f"{run}/fold{fold}/oof/{scan}.npz", part, z)
                bytes_of[run, fold, scan] = part
        # the first run says which scans and folds there are
        more = {} if run == 0 else {2: {"c": np.arange(5)}}
        runs.append(oof.OutOfFold(tmp_path / f"{run}", planes | more, {0: MADE, 1: MADE}, data))
    rules = [Rule(0.5), Rule(0.6), Rule(0.4)]
    found = oof.compare_scans(runs, [3.0, 1.0], rules, METRICS[metric])

    def plain(scan, folds):
        mean, seen = np.zeros((3, *shape)), np.zeros(5, bool)
        for fold in folds:
            z = planes[fold][scan]
            mean[:, z] = 0.75 * bytes_of[0, fold, scan] + 0.25 * bytes_of[1, fold, scan]
            seen[z] = True
        cuts = np.ceil(255 * np.array([0.5, 0.6, 0.4])).reshape(3, 1, 1, 1)
        truth = np.stack([labels[scan] >> c & 1 for c in range(3)]) * seen[:, None, None]
        pair = [BitRows.from_arrays(m) for m in (np.rint(mean) >= cuts, truth.astype(bool))]
        return compare(scan, *pair, METRICS[metric]), seen

    expected = {"fold 0": ["a0", "b0"], "fold 1": ["a1"], "all": ["a01", "b0"]}
    assert list(found) == list(expected)
    for key, parts in expected.items():
        assert [result.scan for result in found[key]] == [part[0] for part in parts]
        for result, part in zip(found[key], parts, strict=True):
            other, seen = plain(part[0], [int(fold) for fold in part[1:]])
            np.testing.assert_array_equal(result.dice[:, seen], other.dice[:, seen])
            assert np.isnan(result.dice[:, ~seen]).all()
            np.testing.assert_array_equal(result.hausdorff, other.hausdorff)
            np.testing.assert_array_equal(result.intersection, other.intersection)
