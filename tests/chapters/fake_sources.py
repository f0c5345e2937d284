"""Sources of the results chapter without files: a few patients, or a few images."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from gutseg.config import Rule
from gutseg.constants import CLASSES
from gutseg.inference.postprocess import finish_scan


class FakeSource:
    """What the chapter asks of a blends.Blended."""

    def __init__(self, labels, probabilities, planes, **data):
        """labels: name -> (Z, H, W). probabilities: name -> (C, Z, H, W). planes: by fold."""
        self._labels, self._probabilities, self._planes = labels, probabilities, planes
        self.scans = sorted(labels)
        self.data = SimpleNamespace(
            scan=lambda name: SimpleNamespace(
                labels=self._labels[name],
                shape=self._labels[name].shape,
                release=lambda: None,
            ),
            **data,
        )
        self.rules = [Rule()] * len(data["classes"])
        self.finish = lambda name, found, seen: finish_scan(found, self.rules, seen=seen)
        self.members = [
            SimpleNamespace(
                folds=sorted(planes),
                planes=planes,
                folds_of=lambda name: [k for k in sorted(planes) if name in planes[k]],
            )
        ]

    def probabilities(self, name, fold=None):
        """As blends.Blended.probabilities."""
        seen = np.zeros(len(self._labels[name]), bool)
        for number, parts in self._planes.items():
            if fold in (None, number) and name in parts:
                seen[parts[name]] = True
        return np.where(seen[:, None, None], self._probabilities[name], 0).astype(np.uint8), seen


def patients(seed, noise=60, cases=7, split=False):
    """Return boxes as organs and noisy probabilities of them; split: folds divide the scans."""
    rng = np.random.default_rng(seed)
    labels, probabilities, planes = {}, {}, {0: {}, 1: {}}
    truth = np.random.default_rng(1)
    for case in range(cases):
        for day in range(1 + case % 2):
            name = f"case{case}_day{day}"
            organs = np.zeros((3, 8, 16, 70), np.uint8)
            for organ in organs:
                z, y, x = truth.integers(0, [4, 8, 55])
                organ[z : z + 4, y : y + 6, x : x + 12] = 1
            labels[name] = (organs << np.arange(3, dtype=np.uint8)[:, None, None, None]).sum(0)
            labels[name] = labels[name].astype(np.uint8)
            shifted = np.roll(organs, rng.integers(-1, 2, 3), axis=(1, 2, 3)) * 200.0
            shifted += rng.normal(0, noise, organs.shape) * (rng.random(organs.shape) < 0.3)
            probabilities[name] = np.clip(shifted, 0, 255).astype(np.uint8)
            if split:
                planes[0][name], planes[1][name] = np.arange(3), np.arange(3, 8)
            else:
                planes[case % 2][name] = np.arange(8)
    sides = {"spacing_y": 1.5, "spacing_x": 1.5}
    index = pd.DataFrame([{"scan": name, **sides} for name in labels for _ in range(8)])
    return FakeSource(labels, probabilities, planes, classes=CLASSES, index=index, has_volumes=True)


def images(mode="multilabel", background=None):
    """Return six images of three groups, two classes, 8 x 9 pixels."""
    rng = np.random.default_rng(5)
    labels = {f"image{number}": rng.integers(0, 2, (1, 8, 9)) for number in range(6)}
    truths = {name: np.stack([one == 0, one == 1]) for name, one in labels.items()}
    probabilities = {
        name: np.clip(one * 150 + rng.integers(0, 90, one.shape), 0, 255).astype(np.uint8)
        for name, one in truths.items()
    }
    planes = {fold: {f"image{3 * fold + k}": np.array([0]) for k in range(3)} for fold in (0, 1)}
    index = pd.DataFrame({"scan": list(labels), "group": ["a", "a", "b", "b", "c", "c"]})
    source = FakeSource(
        labels,
        probabilities,
        planes,
        classes=("ground", "object"),
        index=index,
        has_volumes=False,
        mode=mode,
        background=background,
    )
    names = {id(one): name for name, one in labels.items()}
    source.data.truth = lambda scan, z: truths[names[id(scan.labels)]][:, z]
    source.data.ignored = lambda scan, z: None
    return source
