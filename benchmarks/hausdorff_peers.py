"""The public routes to a Hausdorff distance, each as good as its library allows; one thread.

Voxel routes use two facts: only voxels outside the other mask can be at a distance, and the
nearest voxel of a mask is one of its surface. All take two (Z, H, W) bool masks that are not
empty and return the symmetric distance with unit spacing.
"""

import importlib.util
import warnings
from collections.abc import Callable

import numpy as np

Measure = Callable[[np.ndarray, np.ndarray], float]
OneWay = Callable[[np.ndarray, np.ndarray], float]


def _joint_box(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = x | y
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(both.any(axis=others))
        box.append(slice(inside[0], inside[-1] + 1))
    return x[tuple(box)], y[tuple(box)]


def _surface(mask: np.ndarray) -> np.ndarray:
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1, 1:-1] = (
        mask[:-2, 1:-1, 1:-1]
        & mask[2:, 1:-1, 1:-1]
        & mask[1:-1, :-2, 1:-1]
        & mask[1:-1, 2:, 1:-1]
        & mask[1:-1, 1:-1, :-2]
        & mask[1:-1, 1:-1, 2:]
    )
    return mask & ~inner


def _points(mask: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.argwhere(mask), dtype=np.float64)


def _outside_to_surface(one_way: OneWay) -> Measure:
    """Both directions of one_way(points of X outside Y, points of the surface of Y)."""

    def measure(x: np.ndarray, y: np.ndarray) -> float:
        x, y = _joint_box(x, y)
        found = 0.0
        for source, target in ((x, y), (y, x)):
            outside = source & ~target
            if outside.any():
                found = max(found, one_way(_points(outside), _points(_surface(target))))
        return found

    return measure


def _transform(distances: Callable[[np.ndarray], np.ndarray]) -> Measure:
    """Both directions of a distance transform of the joint box, read outside the target."""

    def measure(x: np.ndarray, y: np.ndarray) -> float:
        x, y = _joint_box(x, y)
        ways = (distances(~target)[source] for source, target in ((x, y), (y, x)))
        return float(max(way.max() for way in ways))

    return measure


def monai() -> Measure:
    """Edge voxels to edge voxels: another number when a mask has a hole."""
    import torch
    from monai.metrics import compute_hausdorff_distance

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="monai")

    def measure(x: np.ndarray, y: np.ndarray) -> float:
        masks = [torch.from_numpy(mask[None, None]) for mask in (x, y)]
        return float(compute_hausdorff_distance(*masks, include_background=True))

    return measure


def scipy_all() -> Measure:
    """What the competition's page links."""
    from scipy.spatial.distance import directed_hausdorff

    def measure(x: np.ndarray, y: np.ndarray) -> float:
        a, b = _points(x), _points(y)
        return max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])

    return measure


def scipy_outside() -> Measure:
    from scipy.spatial.distance import directed_hausdorff

    return _outside_to_surface(lambda source, target: directed_hausdorff(source, target)[0])


def scipy_transform() -> Measure:
    from scipy.ndimage import distance_transform_edt

    return _transform(distance_transform_edt)


def scipy_tree() -> Measure:
    from scipy.spatial import cKDTree

    return _outside_to_surface(lambda source, target: cKDTree(target).query(source)[0].max())


def pykdtree() -> Measure:
    from pykdtree.kdtree import KDTree

    return _outside_to_surface(lambda source, target: KDTree(target).query(source)[0].max())


def edt() -> Measure:
    import edt as library

    return _transform(lambda mask: library.edt(np.ascontiguousarray(mask), parallel=1))


def simpleitk() -> Measure:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)

    def measure(x: np.ndarray, y: np.ndarray) -> float:
        images = [
            SimpleITK.GetImageFromArray(m.view(np.uint8)) for m in map(_copy, _joint_box(x, y))
        ]
        filter_ = SimpleITK.HausdorffDistanceImageFilter()
        filter_.Execute(*images)
        return filter_.GetHausdorffDistance()

    return measure


def _copy(mask: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(mask)


def _optional(module: str, make: Callable[[], Measure]) -> Callable[[], Measure | None]:
    """make, or None where the library is not installed: peers are no requirement."""
    return lambda: make() if importlib.util.find_spec(module) else None


PEERS: dict[str, Callable[[], Measure | None]] = {
    "MONAI compute_hausdorff_distance": _optional("monai", monai),
    "scipy directed_hausdorff, all voxels": scipy_all,
    "scipy directed_hausdorff, X\\Y to surface": scipy_outside,
    "scipy EDT, joint box": scipy_transform,
    "scipy cKDTree, X\\Y to surface": scipy_tree,
    "pykdtree, X\\Y to surface": _optional("pykdtree", pykdtree),
    "edt (seung-lab), joint box": _optional("edt", edt),
    "SimpleITK, joint box": _optional("SimpleITK", simpleitk),
}
EXACT = {"gutseg, bool arrays", "gutseg, bit rows", *PEERS} - {"MONAI compute_hausdorff_distance"}
# may take minutes in some case, so they are tried in another process first
UNBOUNDED = {name for name in PEERS if "directed" in name or "tree" in name}
