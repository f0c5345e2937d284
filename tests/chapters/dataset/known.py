"""A competition's folder of three scans, small enough to count its pixels by hand."""

from pathlib import Path

import numpy as np
from folders import write_csv, write_scan

LARGE, SMALL, STOMACH = 1, 2, 4


def masks() -> dict[str, np.ndarray]:
    """Scan name to (Z, H, W) uint8 bits: two days of case 1, one of case 3."""
    first, second = np.zeros((2, 3, 4, 6), np.uint8)
    first[1, 0:2, 0:3] |= LARGE  # 6 pixels, 2 runs
    first[1, 1:3, 2:4] |= SMALL  # 4 pixels, 2 runs, 1 shared
    first[2, 0, :] |= LARGE  # 8 pixels with the next line, 1 run that goes on
    first[2, 1, 0:2] |= LARGE
    first[2, 3, 5] |= STOMACH
    second[0, 0:2, 0:2] |= STOMACH  # 4 pixels, 2 runs
    second[1, 0, 0:4] |= LARGE
    second[1, 0, 1:5] |= SMALL
    second[1, 0, 2:6] |= STOMACH  # shares 2 with the large, 3 with the small bowel
    other = np.zeros((2, 5, 5), np.uint8)
    other[1, 2, 2] |= SMALL
    return {"case1_day0": first, "case1_day2": second, "case3_day1": other}


def write_known(root: Path) -> Path:
    """Write the folder: grey values 0 to 9, train.csv and the sample."""
    rows = []
    for scan, mask in masks().items():
        image = (np.arange(mask.size) % 10).reshape(mask.shape).astype(np.uint16)
        rows += write_scan(root, scan, image, mask)
    write_csv(root / "train.csv", rows)
    (root / "sample_submission.csv").write_text("id,class,predicted\n")
    return root
