"""Kaggle's quirks of this competition, one test each (COMPETITION section 3 of the public record).

The sample's order, an empty string for an empty mask, the order of classes, a header-only sample of
19 bytes, and runs that count row by row although the competition's page says columns.
"""

import numpy as np
import pytest
import torch
from folders import draw, write_csv, write_scan

from gutseg import runs
from gutseg.config import Predict
from gutseg.constants import CLASSES
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.held_out import Unseen
from gutseg.inference.ensemble import Ensemble
from gutseg.inference.postprocess import Rule
from gutseg.inference.predictor import Predictor
from gutseg.masks import rle_reading, rle_writing
from gutseg.submit import submit


class OneOrgan(torch.nn.Module):
    """Large bowel alone, where the image is bright."""

    def forward(self, images):
        bright = (images[:, 1:2] - 0.5) * 100
        return torch.cat([bright, torch.full_like(bright, -9).expand(-1, 2, -1, -1)], dim=1)


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """A function that writes rows as a sample and returns the lines of the submission."""
    inputs = Inputs(Stack(slices=3), Scaling(kind="scan"), Geometry(kind="pad", size=(48, 64)))
    predictor = Predictor(OneOrgan(), inputs, Predict(batch_size=4), device=torch.device("cpu"))
    ensemble = Ensemble([predictor], [1.0], [Rule()] * len(CLASSES))
    monkeypatch.setattr(runs, "ensemble", lambda *words, **settings: ensemble)
    monkeypatch.setattr(Unseen, "of_blend", lambda path: Unseen([(1.0, [frozenset()])], []))
    rows = write_scan(tmp_path, "case7_day0", *draw(5, 40, 48, 3), part="test")
    rows += write_scan(tmp_path, "case11_day2", *draw(3, 36, 36, 4), part="test")

    def run(sample):
        write_csv(tmp_path / "sample_submission.csv", sample, "predicted")
        submit(tmp_path / "blend.yaml", tmp_path, tmp_path / "submission.csv")
        return (tmp_path / "submission.csv").read_text().splitlines()

    run.root, run.rows = tmp_path, [(name, organ, "") for name, organ, _ in rows]
    return run


def test_rows_come_in_the_samples_order_whatever_it_is(submitted):
    straight = submitted(submitted.rows)
    order = np.random.default_rng(0).permutation(len(submitted.rows))
    shuffled = submitted([submitted.rows[n] for n in order])
    assert shuffled[1:] == [straight[1:][n] for n in order] and shuffled[0] == straight[0]


def test_an_empty_mask_is_an_empty_string(submitted):
    header, *lines = submitted(submitted.rows)
    assert header == "id,class,predicted"
    others = [line for line in lines if "large_bowel" not in line]
    assert all(line.endswith((",small_bowel,", ",stomach,")) for line in others)
    filled = [line for line in lines if not line.endswith(",")]
    assert filled and all(",large_bowel," in line for line in filled)


def test_classes_of_a_slice_are_large_bowel_small_bowel_stomach(submitted):
    """Of train.csv in the public view; each mask stands behind its own class."""
    assert CLASSES == ("large_bowel", "small_bowel", "stomach")
    lines = submitted(submitted.rows)[1:]
    assert [line.split(",")[1] for line in lines] == [*CLASSES] * 8
    assert {line.split(",")[1] for line in lines if line[-1] != ","} == {"large_bowel"}
    turned = submitted([row for n in range(0, 24, 3) for row in submitted.rows[n : n + 3][::-1]])
    assert sorted(turned[1:]) == sorted(lines)


def test_a_sample_of_only_a_header_is_the_public_view(submitted):
    root = submitted.root
    (root / "test").rename(root / "train")
    labels = [(name, organ, "1 1") for name, organ, _ in submitted.rows[::-1]]
    write_csv(root / "train.csv", labels)
    lines = submitted([])
    assert (root / "sample_submission.csv").read_bytes() == b"id,class,predicted\n"
    pairs = [tuple(line.split(",")[:2]) for line in lines[1:]]
    assert pairs == [(name, organ) for name, organ, _ in labels]


def test_runs_count_row_by_row_from_one():
    """Runs of a real mask 266 pixels wide step by about a row's length, not a column's."""
    text = "28094 3 28358 7 28623 9 28889 9 29155 9"
    mask = rle_reading.decode(text, 266, 266)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max()) == (105, 109)  # 28093 // 266 = 105
    assert (columns.min(), columns.max()) == (160, 168)
    assert mask[105, 163:166].all() and mask[105].sum() == 3  # 28093 - 105 * 266 = 163
    assert rle_writing.encode(mask.astype(np.uint8)) == text


def test_a_wide_slice_is_not_read_as_a_high_one():
    """A real mask of 360 x 310 pixels (width x height) steps by 360, its width."""
    mask = rle_reading.decode("42659 38 43019 38 43379 38", 310, 360)
    rows, columns = np.nonzero(mask)
    assert set(rows) == {118, 119, 120} and (columns.min(), columns.max()) == (178, 215)
