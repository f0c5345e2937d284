"""What channels of an earlier day are worth, for patients who come back and for new ones.

    gutseg phantom STUDY/phantom --cases 24 --seed 13
    gutseg prepare STUDY/phantom --out STUDY/cache
    gutseg split STUDY/cache --out STUDY/folds.csv
    python -m benchmarks.prior_day STUDY [key=value ...] [--seeds 0 1] [--folds 0 1 2 3 4]

Trains configs/prior_day.yaml with and without `prior_day`, scores the held-out patients scan by
scan (STUDY/sums_SEED.csv) and prints the tables of docs/bench/prior_day.md. What is there already
is not done again, so that seeds may be trained side by side and printed together afterwards.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gutseg import experiment, runs
from gutseg.config import Config, Rule, load
from gutseg.constants import CLASSES
from gutseg.data.index import visits_of
from gutseg.data.volume import Scan
from gutseg.inference.postprocess import finish_scan
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, compare, of_class
from gutseg.metrics.intervals import Interval, differences, intervals, patient_of, patient_sums
from gutseg.reporting.tables import markdown
from gutseg.training import train_fold

CONFIG = Path(__file__).parents[1] / "configs" / "prior_day.yaml"
METRIC = METRICS["default"]
CPU = torch.device("cpu")
WITH, WITHHELD, WITHOUT = "prior_day", "prior_day, withheld", "without prior_day"
COPIED = "the earlier contours themselves"
KEYS, SUMS = ["kind", "seed", "fold", "scan", "class"], ["dice", "rows", "distance", "volumes"]
# what is compared: the first minus the second, on these days
PAIRS = (
    ("later days", WITH, WITHOUT),
    ("later days", WITH, WITHHELD),
    ("later days", WITHHELD, WITHOUT),
    ("first days", WITH, WITHOUT),
)


def configs(study: Path, seed: int, overrides: list[str]) -> dict[str, Config]:
    """Return the two experiments of a seed."""
    places = [f"data.folder={study / 'cache'}", f"data.folds={study / 'folds.csv'}"]
    places += [f"runs={study / 'runs'}", f"seed={seed}", *overrides]
    return {
        WITH: load(CONFIG, [*places, f"name=with{seed}"]),
        WITHOUT: load(CONFIG, [*places, f"name=without{seed}", "prior_day=null"]),
    }


def train(pairs: dict[str, Config], folds: list[int]) -> None:
    """Train every fold with and without channels of an earlier day."""
    sources = {kind: experiment.source(config) for kind, config in pairs.items()}
    for fold in folds:
        for kind, config in pairs.items():
            if not (experiment.run_folder(config, fold) / "best.pt").is_file():
                train_fold(config, fold, sources[kind])


def score(pairs: dict[str, Config], seed: int, fold: int) -> pd.DataFrame:
    """Return the sums of every held-out scan and class, of all that can be predicted."""
    found = []
    for kind, config in pairs.items():
        opened = runs.open_fold(experiment.run_folder(config, fold))
        given = runs.predictor(opened, "none", CPU)
        withheld = runs.predictor(opened, "none", CPU, "withheld") if kind == WITH else None
        for name in opened.planes:
            scan = opened.data.scan(name)
            found += _rows(kind, scan, finish_scan(given(scan), [Rule()] * len(CLASSES)))
            if withheld is None or scan.prior is None:
                continue
            found += _rows(WITHHELD, scan, finish_scan(withheld(scan), [Rule()] * len(CLASSES)))
            labels = scan.prior.planes(np.arange(scan.shape[0]))[1]
            found += _rows(COPIED, scan, BitRows.from_class_bits(labels, len(CLASSES)))
    table = pd.DataFrame(found, columns=["kind", "scan", "class", *SUMS])
    return table.assign(seed=seed, fold=fold)[[*KEYS, *SUMS]]


def _rows(kind: str, scan: Scan, masks: BitRows) -> Iterator[tuple]:
    truth = BitRows.from_class_bits(np.asarray(scan.labels), len(CLASSES))
    result = compare(scan.name, masks, truth, METRIC)
    for organ in ("all", *CLASSES):
        part = result if organ == "all" else of_class(result, organ)
        (sums,) = patient_sums([part], METRIC).values()
        yield (kind, scan.name, organ, *sums.ravel().tolist())


def by_patient(table: pd.DataFrame, kind: str, visit: str, organ: str = "all") -> pd.DataFrame:
    """Return the sums of every patient over scans and seeds, indexed by patient."""
    chosen = table[(table["kind"] == kind) & (table["class"] == organ)]
    chosen = chosen[chosen["scan"].map(visits_of(table["scan"])) == visit]
    return chosen.groupby(chosen["scan"].map(patient_of))[SUMS].sum()


def _sums(people: pd.DataFrame) -> list[np.ndarray]:
    return [*people.to_numpy(float).reshape(-1, 2, 2)]


def _told(found: Interval, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} ({found.low:{sign}.3f} to {found.high:{sign}.3f})"


def levels(table: pd.DataFrame) -> str:
    """Score, Dice and 1 - Hausdorff by day and kind, with intervals over patients."""
    lines = []
    for visit in ("later days", "first days"):
        for kind in (WITH, WITHHELD, WITHOUT, COPIED):
            people = by_patient(table, kind, visit)
            if people.empty:
                continue
            found = intervals(_sums(people))
            hausdorff = 1 - found["hausdorff"].value
            numbers = [_told(found["score"]), f"{found['dice'].value:.3f}", f"{hausdorff:.3f}"]
            organs = [
                f"{intervals(_sums(by_patient(table, kind, visit, organ)))['dice'].value:.3f}"
                for organ in CLASSES
            ]
            lines.append([visit, kind, str(len(people)), *numbers, *organs])
    titles = [f"Dice {organ.replace('_', ' ')}" for organ in CLASSES]
    header = ["scans", "network", "patients", "score (95 %)", "Dice", "1 − Hausdorff", *titles]
    return markdown(header, lines, words=2)


def paired(table: pd.DataFrame) -> str:
    """Differences in the same patients, with intervals, and of every seed alone."""
    lines = []
    for visit, one, other in PAIRS:
        pair = [by_patient(table, kind, visit) for kind in (one, other)]
        found = differences(*map(_sums, pair))
        alone = []
        for _, part in table.groupby("seed"):
            both = [_sums(by_patient(part, kind, visit)) for kind in (one, other)]
            alone.append(f"{differences(*both)['score'].value:+.3f}")
        told = [_told(found[name], "+") for name in ("score", "dice")]
        lines.append([visit, f"{one} − {other}", *told, ", ".join(alone)])
    header = ["scans", "difference", "score (95 %)", "Dice (95 %)", "score, seed by seed"]
    return markdown(header, lines, words=2)


def main(study: Path, seeds: list[int], folds: list[int], overrides: list[str]) -> None:
    """Train, score and print."""
    tables = []
    for seed in seeds:
        pairs, path = configs(study, seed, overrides), study / f"sums_{seed}.csv"
        train(pairs, folds)
        table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=[*KEYS, *SUMS])
        for fold in folds:
            if not (table["fold"] == fold).any():
                found = score(pairs, seed, fold)
                table = found if table.empty else pd.concat([table, found], ignore_index=True)
                table.to_csv(path, index=False)
        tables.append(table[table["fold"].isin(folds)])
    whole = pd.concat(tables, ignore_index=True)
    print(f"{levels(whole)}\n\n{paired(whole)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    main(options.study, options.seeds, options.folds, options.overrides)
