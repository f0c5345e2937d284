"""A tiny valid world for the fuzz test: every kind of file that some verb reads, in one folder.

All paths inside it are relative, so a copy of it works anywhere as the working directory.
"""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml
from safetensors.torch import save_file

from gutseg import models
from gutseg.bench import bench
from gutseg.blend import blend
from gutseg.engine import checkpoint
from gutseg.files import write_json
from gutseg.kaggle.bundle import build_bundle
from gutseg.predict import predict
from gutseg.prepare import prepare
from gutseg.split import split
from gutseg.submit import submit
from gutseg.synthetic.folder import DRAWING, SETTINGS
from gutseg.train import train
from tests.folders import draw, write_csv, write_scan

SCANS = {"case1_day0": (4, 32, 40), "case2_day0": (4, 32, 40), "case3_day1": (3, 32, 32)}
HIDDEN = {"case7_day0": (3, 32, 40), "case8_day3": (3, 32, 32)}

EXPERIMENT = {
    "name": "tiny",
    "data": {"folder": "cache", "folds": "folds.csv"},
    "geometry": {"kind": "pad", "size": [32, 48]},
    "stack": {"slices": 3},
    "model": {"name": "unet", "params": {"widths": [4, 8], "norm": "batch"}},
    "loss": {"name": "bce_dice", "params": {"dice_weight": 2.0}},
    "optim": {"lr": 0.02},
    "train": {"epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "tensorboard": False},
}
ENCODER = {
    "encoder": "tu-test_resnet",
    "options": {"encoder_depth": 3, "decoder_channels": [16, 8, 8]},
}
BENCH = {
    "name": "tiny",
    "base": {
        "data": {"source": "png_folder", "folder": "pictures", "folds": 2},
        "geometry": {"kind": "native"},
        "crop": {"size": [16, 16]},
        "model": {"name": "unet", "params": {"widths": [4, 8], "norm": "batch"}},
        "train": {"steps": 1, "batch_size": 2, "monitor": "pooled.iou", "tensorboard": False},
    },
    "axes": {"loss": [{"name": "ce"}], "seed": [0]},
}


def build(root: Path) -> None:
    """Write the world; root is the empty working directory."""
    _write_raw(root)
    prepare(root / "raw", Path("cache"), workers=1)
    split(Path("cache"), Path("folds.csv"), folds=2)
    Path("tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    train(Path("tiny.yaml"), jobs=1)
    predict(Path("runs/tiny"))
    blend([Path("runs/tiny")], Path("blends/first"), trials=2)
    submit(Path("blends/first/blend.yaml"), Path("hidden"), Path("submission.csv"))
    build_bundle(Path("blends/first/blend.yaml"), Path("kaggle"), user="somebody", wheels=False)
    _write_listings()
    _write_encoders()
    _write_pictures()
    bench(Path("bench.yaml"), jobs=1, out=Path("compared"))
    Path("phantom").mkdir()
    # as if another phantom lay there: the verb must refuse whatever it finds instead of drawing
    settings = {"cases": 3, "seed": 1, "preset": "small", "drawing": DRAWING}
    write_json(Path("phantom") / SETTINGS, settings)
    Path("notes").mkdir()
    Path("notes/keep.txt").write_text("somebody's notes\n")


def _write_raw(root: Path) -> None:
    rows = []
    for seed, (scan, shape) in enumerate(SCANS.items()):
        rows += write_scan(root / "raw", scan, *draw(*shape, seed))
    write_csv(root / "raw" / "train.csv", rows)
    (root / "raw" / "sample_submission.csv").write_text("id,class,predicted\n")
    rows = []
    for seed, (scan, shape) in enumerate(HIDDEN.items()):
        rows += write_scan(root / "hidden", scan, *draw(*shape, seed + 9), part="test")
    write_csv(root / "truth.csv", rows)
    empty = [(slice_id, organ, "") for slice_id, organ, _ in rows]
    write_csv(root / "hidden" / "sample_submission.csv", empty, "predicted")


def _write_listings() -> None:
    """Slices as `score` and `split` take them from a csv."""
    rows = [
        (f"{scan}_slice_{number:04d}", shape[2], shape[1])
        for scan, shape in HIDDEN.items()
        for number in range(1, shape[0] + 1)
    ]
    pd.DataFrame(rows, columns=["id", "width", "height"]).to_csv("slices.csv", index=False)
    rows = [
        (f"{scan}_slice_{number:04d}", scan[4], number > 2)
        for scan, shape in SCANS.items()
        for number in range(1, shape[0] + 1)
    ]
    pd.DataFrame(rows, columns=["id", "case", "has_ann"]).to_csv("listing.csv", index=False)
    table = pd.DataFrame({"case": [7, 8], "fold": [0, 1]})
    table.to_csv("hidden_folds.csv", index=False)


def _write_encoders() -> None:
    """Weights of a small published encoder in both formats, and experiments that load them."""
    encoder = models.build("smp", 3, 3, **ENCODER).encoder.state_dict()
    state = {key: value.contiguous() for key, value in encoder.items()}
    save_file(state, "encoder.safetensors")
    checkpoint.save(Path("encoder.pth"), state)
    for name, file in (("published", "encoder.safetensors"), ("pickled", "encoder.pth")):
        model = {"name": "smp", "params": ENCODER, "encoder_weights": file}
        content = EXPERIMENT | {"name": name, "model": model}
        Path(f"{name}.yaml").write_text(yaml.safe_dump(content))


def _write_pictures() -> None:
    random = np.random.default_rng(0)
    for part in ("images", "labels"):
        Path("pictures", part).mkdir(parents=True)
    for number in range(4):
        label = np.zeros((24, 24), np.uint8)
        top, left = random.integers(1, 12, 2)
        label[top : top + 9, left : left + 9] = 1
        image = random.integers(0, 90, (24, 24, 3)) + 120 * label[..., None]
        cv2.imwrite(f"pictures/images/{number}.png", image.astype(np.uint8))
        cv2.imwrite(f"pictures/labels/{number}.png", label)
    Path("bench.yaml").write_text(yaml.safe_dump(BENCH))


def copy(world: Path, target: Path) -> None:
    """Copy the world by hard links: milliseconds. A mutation must replace a file, not edit it."""
    shutil.copytree(world, target, symlinks=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
