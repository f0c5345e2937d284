"""Fixtures of the whole suite: small competition folders, a prepared cache, a trained run."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import draw, write_csv, write_scan

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    """Keep the garbage collector off what was imported: every training calls it, for seconds."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Give the collector back what was kept from it, or libraries complain at the end."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans beside the checkout; tests that need it are skipped elsewhere."""
    if not REAL.is_dir():
        pytest.skip("no ../shared/data beside the checkout: real data is not redistributed")
    return REAL


@pytest.fixture(scope="session")
def write_raw() -> Callable[..., Path]:
    """A function that writes a competition folder: scan names to shapes (Z, H, W)."""

    def write(root: Path, scans: dict[str, tuple[int, int, int]]) -> Path:
        rows = []
        for seed, (scan, shape) in enumerate(scans.items()):
            rows += write_scan(root, scan, *draw(*shape, seed))
        write_csv(root / "train.csv", rows)
        (root / "sample_submission.csv").write_text("id,class,predicted\n")
        return root

    return write


@pytest.fixture
def raw(tmp_path: Path, write_raw: Callable[..., Path]) -> Path:
    """Two patients, three scans, two slice sizes of which one is not square."""
    shapes = {"case2_day1": (9, 40, 48), "case2_day9": (6, 40, 40), "case10_day0": (7, 40, 48)}
    return write_raw(tmp_path / "raw", shapes)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory, write_raw: Callable[..., Path]) -> Path:
    """A prepared cache of five patients, read-only for the tests."""
    from gutseg.prepare import prepare

    root = tmp_path_factory.mktemp("competition")
    shapes = {f"case{n}_day{d}": (8, 40, 48) for n, d in ((1, 0), (1, 5), (2, 0), (3, 0), (4, 2))}
    write_raw(root / "raw", shapes | {"case5_day0": (6, 36, 36)})
    prepare(root / "raw", root / "cache", workers=1)
    return root / "cache"


@pytest.fixture(scope="session")
def trained(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """The whole job once: trained folds, predictions and a blend; read-only for the tests."""
    from pipeline import run_all

    return run_all(cache, tmp_path_factory.mktemp("trained"))
