"""`submit --skip-bad`, as the kernel calls it, writes every row whatever the images are."""

import importlib
import os
import re
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from folders import draw, png_path, write_csv, write_scan

from gutseg import runs
from gutseg.config import Predict
from gutseg.constants import CLASSES
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.held_out import Unseen
from gutseg.inference import dealing
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.postprocess import Rule
from gutseg.inference.predictor import Predictor
from gutseg.masks import rle_reading
from gutseg.submit import submit

submit_module = importlib.import_module("gutseg.submit")  # the package has the function

SCANS = {"case7_day0": (5, 40, 48), "case8_day3": (4, 36, 36)}


class Bright(torch.nn.Module):
    """Every class where the scaled image is above a half; asks for sides that divide by 16."""

    def forward(self, images):
        assert not any(side % 16 for side in images.shape[2:])
        return (images[:, 1:2] - 0.5).expand(-1, len(CLASSES), -1, -1) * 100


class Failing(torch.nn.Module):
    """Raises an error at the first batch, or gives NaN, and predicts the others."""

    def __init__(self, error=None):
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, images):
        self.calls += 1
        if self.calls > 1:
            return Bright()(images)
        if self.error:
            raise self.error
        return Bright()(images) + torch.nan


@pytest.fixture
def use(monkeypatch):
    """A function that puts a network in the place of whatever a blend names."""

    def replace(network):
        geometry = Geometry(kind="pad", size=(48, 64))
        inputs = Inputs(Stack(slices=3), Scaling(kind="scan"), geometry)
        predictor = Predictor(network, inputs, Predict(batch_size=4), device=torch.device("cpu"))
        ensemble = Ensemble([predictor], [1.0], [Rule()] * len(CLASSES))
        monkeypatch.setattr(runs, "ensemble", lambda path, device: ensemble)
        monkeypatch.setattr(Unseen, "of_blend", lambda path: Unseen([(1.0, [frozenset()])], []))

    return replace


@pytest.fixture
def hidden(tmp_path, use):
    """What a notebook sees while it is scored: test/ and a full sample in an odd order."""
    use(Bright())
    root, rows = tmp_path / "hidden", []
    for seed, (scan, shape) in enumerate(SCANS.items()):
        rows += write_scan(root, scan, *draw(*shape, seed), part="test")
    sample = [(slice_id, organ, "") for slice_id, organ, _ in rows]
    write_csv(root / "sample_submission.csv", sample[::-1], "predicted")
    return root


def _slice(root, number, scan="case7_day0"):
    return png_path(root, "test", scan, number, *SCANS[scan][1:])


def _submit(root):
    out = root.parent / "submission.csv"
    submit(root / "blend.yaml", root, out, skip_bad=True)
    ours = pd.read_csv(out, keep_default_na=False)
    sample = pd.read_csv(root / "sample_submission.csv", keep_default_na=False)
    assert ours[["id", "class"]].equals(sample[["id", "class"]])
    filled = ours[ours["predicted"] != ""]["id"]
    return {scan: sorted(set(filled[filled.str.startswith(scan)].str[-4:])) for scan in SCANS}


def _png(width, height, header=True, data=b""):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    facts = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", facts)] if header else []
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IDAT", data), chunk(b"IEND", b"")])


def _replace(make):
    """Put something else at the place of the PNG of slice 3."""

    def spoil(root):
        path = _slice(root, 3)
        path.unlink()
        make(path)

    return spoil


def _every_slice(root):
    for number in range(1, 6):
        _slice(root, number).write_bytes(b"broken")


SPOILT_SLICES = {
    "no header": (_replace(lambda p: p.write_bytes(_png(0, 0, header=False))), "has no IHDR chunk"),
    "nothing but the end": (
        _replace(lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\nIEND\xaeB`\x82")),
        "has no IHDR chunk",
    ),
    "65536 pixels a side": (
        _replace(lambda p: p.write_bytes(_png(65536, 65536, data=zlib.compress(b"")))),
        r"is 65536x65536 \(width x height\); its name says 48x40",
    ),
    "a pipe": (_replace(os.mkfifo), "is a pipe or a device, not a file"),
    "a folder": (_replace(lambda p: p.mkdir()), "cannot be read: Is a directory"),
    "a device": (_replace(lambda p: p.symlink_to("/dev/null")), "is a pipe or a device"),
    "a broken link": (
        _replace(lambda p: p.symlink_to("nowhere.png")),
        "is a link to a file that does not exist",
    ),
    "a name of 300000 pixels": (
        _replace(lambda p: p.with_name("slice_0003_300000_300000_1.50_1.50.png").write_bytes(b"")),
        "the name says 300000x300000, expected 1 to 2048 pixels a side",
    ),
    "another size by name": (
        _replace(lambda p: p.with_name("slice_0003_40_40_1.50_1.50.png").write_bytes(b"")),
        "40x40, the rest of case7_day0 is 48x40",
    ),
    "a number in Arabic digits": (
        _replace(lambda p: p.with_name("slice_٠٠٠٣_48_40_1.50_1.50.png").write_bytes(b"")),
        "the name does not read as",
    ),
}


@pytest.mark.parametrize("what", SPOILT_SLICES)
def test_one_spoilt_slice(hidden, caplog, capsys, what):
    spoil, message = SPOILT_SLICES[what]
    before = _submit(hidden)
    spoil(hidden)
    with pytest.raises(ValueError, match=message):
        submit(hidden / "blend.yaml", hidden, hidden.parent / "none.csv")
    assert not (hidden.parent / "none.csv").exists()
    after = _submit(hidden)
    assert after == before | {"case7_day0": [n for n in before["case7_day0"] if n != "0003"]}
    assert "0003" in before["case7_day0"]
    assert "issues skipped: their masks are empty" in capsys.readouterr().out


def _no_images(root):
    (root / "test").rename(root / "elsewhere")


def _huge_by_numbers(root):
    path = _slice(root, 1)
    path.rename(path.with_name("slice_9999_2048_2048_1.50_1.50.png"))
    for number in range(2, 6):
        path = _slice(root, number)
        path.rename(path.with_name(f"slice_{number:04d}_2048_2048_1.50_1.50.png"))


@pytest.mark.parametrize(
    ("spoil", "left", "message"),
    [
        (_every_slice, "case8_day3", "slice_0005_48_40_1.50_1.50.png: not a PNG"),
        (_huge_by_numbers, "case8_day3", "case7_day0: cannot be predicted .*expected at most 268"),
        (_no_images, None, "holds no PNG of a slice that sample_submission.csv asks for"),
    ],
)
def test_whole_scans_that_cannot_be_read(hidden, caplog, spoil, left, message):
    before = _submit(hidden)
    spoil(hidden)
    caplog.clear()
    after = _submit(hidden)
    assert after == {scan: before[scan] if scan == left else [] for scan in SCANS}
    assert re.search(message, caplog.text)
    with pytest.raises(ValueError, match="--skip-bad records such input and continues"):
        submit(hidden / "blend.yaml", hidden, hidden.parent / "none.csv")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore lines"),
        MemoryError(),
        ValueError("the probabilities are not finite"),
        IndexError("index 9 is out of bounds"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_scan_that_fails_costs_its_own_rows_only(hidden, use, caplog, error):
    before = _submit(hidden)
    use(Failing(error))
    assert _submit(hidden) == before | {"case7_day0": []}
    assert f"case7_day0: cannot be predicted ({type(error).__name__}" in caplog.text
    use(Failing(error))
    with pytest.raises(ValueError, match=str(error).splitlines()[0] if str(error) else "Memory"):
        submit(hidden / "blend.yaml", hidden, hidden.parent / "none.csv")


def test_a_scan_of_nan_costs_its_own_rows_only(hidden, use, caplog):
    before = _submit(hidden)
    use(Failing())
    assert _submit(hidden) == before | {"case7_day0": []}
    assert "predicts probabilities of case7_day0 that are not finite" in caplog.text
    use(Failing())
    with pytest.raises(ValueError, match="probabilities of case7_day0 that are not finite"):
        submit(hidden / "blend.yaml", hidden, hidden.parent / "none.csv")


def test_a_slice_larger_than_the_padded_size_is_predicted_at_its_own_size(hidden):
    """Training saw 48 x 64 at most; this scan's bright square is found where it lies."""
    image = np.zeros((2, 70, 90), np.uint16)
    image[:, 50:60, 70:85] = 900
    rows = write_scan(hidden, "case9_day1", image, (image > 0).astype(np.uint8) * 7, part="test")
    write_csv(hidden / "sample_submission.csv", rows, "predicted")
    out = hidden.parent / "submission.csv"
    submit(hidden / "blend.yaml", hidden, out)
    assert pd.read_csv(out)["predicted"].tolist() == [text for *_, text in rows]
    np.testing.assert_array_equal(rle_reading.decode(rows[0][2], 70, 90), image[0] > 0)


SPOILT_SAMPLES = {
    "a field too many": (
        "case7_day0_slice_0002,stomach,,,,",
        "row 6: has 6 fields; expected id,cl",
    ),
    "an open quote": ('"case7_day0_slice_0002,stomach,', "row 6: has 4 fields; expected id,cl"),
    "an unknown class": ("case7_day0_slice_0002,liver,", "class 'liver' is not one of"),
    "an unknown slice": ("case7_day0_slice_0077,stomach,", "there is no PNG of it"),
    "no identifier": ("slice 2,stomach,", "there is no PNG of it"),
    "a row twice": ("case7_day0_slice_0001,stomach,", "is listed twice"),
    "one field": ("case7_day0_slice_0002", "row 6: has 1 fields; expected id,class,predicted"),
}


@pytest.mark.parametrize("what", SPOILT_SAMPLES)
def test_a_malformed_row_of_the_sample_stays_and_is_named(hidden, caplog, what):
    line, message = SPOILT_SAMPLES[what]
    path, out = hidden / "sample_submission.csv", hidden.parent / "submission.csv"
    lines = path.read_text().splitlines()
    lines[5] = line
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError):
        submit(hidden / "blend.yaml", hidden, out)
    submit(hidden / "blend.yaml", hidden, out, skip_bad=True)
    assert message in caplog.text
    ours = [row.split(",")[:2] for row in out.read_text().splitlines()]
    expected = [[part.strip('"') for part in row.split(",")][:2] for row in lines]
    assert [row[0] for row in ours] == [row[0] for row in expected]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"id,segmentation\n1,2\n"])
def test_a_sample_that_does_not_read_asks_for_every_slice_of_test(hidden, caplog, content):
    """The kernel ended without a csv."""
    path, out = hidden / "sample_submission.csv", hidden.parent / "submission.csv"
    wanted = sorted(row.rsplit(",", 1)[0] for row in path.read_text().splitlines()[1:])
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"sample_submission\.csv"):
        submit(hidden / "blend.yaml", hidden, out)
    submit(hidden / "blend.yaml", hidden, out, skip_bad=True)
    assert "sample_submission.csv: does not read" in caplog.text
    header, *rows = (row.rsplit(",", 1) for row in out.read_text().splitlines())
    assert header == ["id,class", "predicted"] and sorted(pair for pair, _ in rows) == wanted
    assert any(text for _, text in rows)


def test_many_faults_of_a_kind_are_five_lines_and_a_count(hidden, caplog):
    """432 lines said that the PNGs of three scans were missing."""
    path = hidden / "sample_submission.csv"
    more = [f"case9_day0_slice_{n:04d},{organ}," for n in range(1, 145) for organ in CLASSES]
    path.write_text(path.read_text() + "\n".join(more) + "\n")
    submit(hidden / "blend.yaml", hidden, hidden.parent / "submission.csv", skip_bad=True)
    lines = caplog.text.splitlines()
    assert len(lines) == 6
    assert "case9_day0_slice_0005: the sample asks for this slice" in lines[4]
    assert lines[5].endswith("... and 139 more like these")


def test_a_train_scan_of_the_public_view_lacks_a_png(hidden):
    """Without a sample labelled scans are predicted; one that is not complete is named."""
    rows = [tuple(row) for row in pd.read_csv(hidden / "sample_submission.csv").to_numpy()]
    write_csv(hidden / "sample_submission.csv", [], "predicted")
    with pytest.raises(FileNotFoundError, match="train.csv .*sample_submission.csv is only a head"):
        submit(hidden / "blend.yaml", hidden, hidden.parent / "s.csv")
    (hidden / "test").rename(hidden / "train")
    write_csv(hidden / "train.csv", [(*row[:2], "") for row in rows])
    submit(hidden / "blend.yaml", hidden, hidden.parent / "s.csv")
    assert len(pd.read_csv(hidden.parent / "s.csv")) == 27
    png_path(hidden, "train", "case7_day0", 3, 40, 48).unlink()
    with pytest.raises(ValueError, match=r"train.csv, case7_day0_slice_0003: .*there is no PNG"):
        submit(hidden / "blend.yaml", hidden, hidden.parent / "s.csv")
    submit(hidden / "blend.yaml", hidden, hidden.parent / "s.csv", skip_bad=True)
    assert len(pd.read_csv(hidden.parent / "s.csv")) == 27


def test_as_many_gpus_as_are_asked_for_load_the_blend(hidden, monkeypatch):
    """Two GPUs are four workers; what they predict here is what the processor does."""
    ensemble, loaded, used = runs.ensemble(None, None), [], []
    monkeypatch.setattr(runs, "ensemble", lambda path, device: loaded.append(device) or ensemble)
    monkeypatch.setattr(dealing.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(dealing.torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(dealing.gpu, "unsupported", lambda: "")
    texts = submit_module.scan_texts
    monkeypatch.setattr(
        submit_module,
        "scan_texts",
        lambda *words, **settings: (
            used.append((len(words[2]), settings["fill"])) or texts(*words, **settings)
        ),
    )
    csvs = []
    for gpus, devices in (
        (2, ["cuda:0", "cuda:1"]),
        (0, ["cpu"]),
        (None, ["cuda:0", "cuda:1", "cuda:2"]),
    ):
        submit(hidden / "blend.yaml", hidden, hidden.parent / "s.csv", gpus=gpus)
        assert [str(one) for one in loaded] == devices
        csvs.append((hidden.parent / "s.csv").read_bytes())
        loaded.clear()
    assert used[0] == (4, True) and used[1][1] is False and used[2] == (6, True)
    assert len(set(csvs)) == 1
