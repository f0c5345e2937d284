"""nnU-Net as a peer: what it is given and what is read back, without nnU-Net."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import nnunet
from benchmarks.peers.nnunet_data import (
    DATASET,
    exclusive,
    read_planes,
    split,
    write_csvs,
    write_dataset,
)
from gutseg.data.cache import Cache
from gutseg.data.folds import by_block, by_case
from gutseg.inference.csv_scores import score_csv
from gutseg.metrics.competition import METRICS

# takes the place of the Python that has nnU-Net: plans nothing, and "predicts" the labels
FAKE = """#!/bin/sh
echo "$nnUNet_n_proc_DA $OMP_NUM_THREADS $*" >> "$nnUNet_raw/../calls"
mkdir -p "$nnUNet_preprocessed/{name}"
[ "$1" = -c ] && exit
out="$nnUNet_results/{name}/SecondsTrainer__nnUNetPlans__2d/fold_$4/validation"
mkdir -p "$out" && cp "$nnUNet_raw/{name}/labelsTr"/* "$out"
"""


@pytest.fixture(scope="module")
def data(cache: Path) -> Cache:
    return Cache(cache)


@pytest.fixture
def blocks(data: Cache) -> pd.DataFrame:
    """Interleaved blocks of two slices in two folds."""
    return data.index.assign(fold=by_block(data.index, 2, 2)["fold"].to_numpy())


def test_of_folds_by_patient_a_part_is_a_scan_and_stands_once(data):
    folds = by_case(data.index, data.index["stomach"], 2, seed=0)
    held = data.index["case"].map(dict(zip(folds["case"], folds["fold"], strict=True)))
    parts, splits = split(data.index.assign(fold=held))
    assert sorted(part.scan for part in parts.values()) == sorted(data.index["scan"].unique())
    for sides in splits:
        train, val = ({parts[name].scan.split("_")[0] for name in sides[side]} for side in sides)
        assert train and val and not train & val


def test_of_folds_inside_a_scan_both_sides_are_parts_that_share_no_slice(data, blocks):
    parts, splits = split(blocks)
    # two folds: what one trains on, the other holds out
    assert len(parts) == 2 * blocks["scan"].nunique()
    assert splits[0] == {"train": splits[1]["val"], "val": splits[1]["train"]}
    held = {part.scan: part.z for part in map(parts.__getitem__, splits[0]["val"])}
    assert held["case1_day0"] == (0, 1, 4, 5) and held["case5_day0"] == (0, 1, 4, 5)
    trained = {part.scan: part.z for part in map(parts.__getitem__, splits[0]["train"])}
    assert trained["case1_day0"] == (2, 3, 6, 7) and trained["case5_day0"] == (2, 3)


def test_of_overlapping_organs_the_last_class_is_kept():
    numbers = exclusive(np.arange(8, dtype=np.uint8).reshape(1, 2, 4))
    np.testing.assert_array_equal(numbers, [[[0, 1, 2, 2], [3, 3, 3, 3]]])


def test_files_hold_the_parts_planes_at_true_size_columns_first(data, blocks, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    parts, splits = split(blocks)
    write_dataset(data, parts.values(), tmp_path)
    part = parts[splits[1]["val"][0]]
    image = nibabel.load(tmp_path / "imagesTr" / f"{part.name}_0000.nii.gz")
    scan = data.scan(part.scan)
    assert image.shape == (48, 40, 4) and image.header.get_zooms() == (1.5, 1.5, 3.0)
    np.testing.assert_array_equal(
        np.asarray(image.dataobj)[..., 1], np.asarray(scan.image)[part.z[1]].T
    )
    labels = read_planes(tmp_path / "labelsTr" / f"{part.name}.nii.gz")
    np.testing.assert_array_equal(labels, exclusive(np.asarray(scan.labels)[list(part.z)]))
    facts = json.loads((tmp_path / "dataset.json").read_text())
    assert facts["numTraining"] == len(parts) == len(list((tmp_path / "labelsTr").iterdir()))
    assert list(facts["labels"].items()) == [
        *(("background", 0), ("large_bowel", 1), ("small_bowel", 2), ("stomach", 3))
    ]


def test_the_labels_score_one_but_for_overlaps_and_masks_of_another_shape_are_refused(
    data, blocks, tmp_path
):
    pytest.importorskip("nibabel")
    parts, splits = split(blocks)
    write_dataset(data, parts.values(), tmp_path)
    held = [parts[name] for name in splits[0]["val"]]
    write_csvs(data, held, tmp_path / "labelsTr", tmp_path, "fold0")
    paths = tmp_path / "fold0.csv", tmp_path / "fold0_truth.csv"
    results = score_csv(*paths, data.folder, METRICS["default"])
    dice = np.concatenate([one.dice for one in results], axis=1)  # (C, Z)
    assert (np.nanmin(dice, axis=1) > 0.95).all() and np.isfinite(dice).sum() > 20
    # nothing overlaps the last class, which is the stomach
    assert np.nanmin(dice[2]) == 1
    first = tmp_path / "labelsTr" / f"{held[0].name}.nii.gz"
    other = next(parts[name] for name in splits[1]["val"] if parts[name].scan == "case5_day0")
    first.write_bytes((tmp_path / "labelsTr" / f"{other.name}.nii.gz").read_bytes())
    with pytest.raises(ValueError, match=r"is \(2, 36, 36\); expected \(4, 40, 48\)"):
        write_csvs(data, held, tmp_path / "labelsTr", tmp_path, "fold0")


def test_a_run_plans_each_slice_once_and_trains_only_what_is_missing(
    data, blocks, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("nibabel")
    blocks[["id", "fold"]].to_csv(tmp_path / "folds.csv", index=False)
    python = tmp_path / "python"
    python.write_text(FAKE.format(name=DATASET))
    python.chmod(0o755)
    order = ["--cache", str(data.folder), "--folds", str(tmp_path / "folds.csv")]
    order += ["--out", str(tmp_path / "out"), "--seconds", "3", "--python", str(python)]
    monkeypatch.setattr(sys, "argv", ["nnunet", *order, "--spacing", "3", "--fold", "1"])
    nnunet.main()
    monkeypatch.setattr(sys, "argv", ["nnunet", *order, "--spacing", "3"])
    nnunet.main()
    monkeypatch.setattr(sys, "argv", ["nnunet", *order])
    with pytest.raises(SystemExit, match="out was begun with other spacing; give another --out"):
        nnunet.main()
    blocks.assign(fold=1 - blocks["fold"])[["id", "fold"]].to_csv(order[3], index=False)
    monkeypatch.setattr(sys, "argv", ["nnunet", *order, "--spacing", "3"])
    with pytest.raises(SystemExit, match="out was begun with other slices; give another --out"):
        nnunet.main()
    (tmp_path / "out" / "begun.json").rename(tmp_path / "begun.json")
    with pytest.raises(SystemExit, match="out has data but no begun.json that says of what; give"):
        nnunet.main()
    (tmp_path / "begun.json").rename(tmp_path / "out" / "begun.json")
    blocks[["id", "fold"]].to_csv(order[3], index=False)
    plan, prepare, *training = (tmp_path / "out" / "calls").read_text().splitlines()
    assert plan.startswith("1 1 -c") and "-overwrite_target_spacing 3.0 3.0 3.0" in plan
    assert "preprocess_entry" in prepare and prepare.startswith("1 1")
    # the process that trains augments as well
    assert [line.split()[0] for line in training] == ["0", "0"]
    assert [line.split()[-2:] for line in training] == [["1", "3.0"], ["0", "3.0"]]
    splits = json.loads((tmp_path / "out/preprocessed" / DATASET / "splits_final.json").read_text())
    assert len(splits) == 2
    assert capsys.readouterr().out.count("gutseg score ") == 3
    paths = (tmp_path / "out" / "3s" / f"fold0{end}.csv" for end in ("", "_truth"))
    results = score_csv(*paths, data.folder, METRICS["default"])
    assert np.nanmin([np.nanmin(one.dice[2]) for one in results]) == 1
