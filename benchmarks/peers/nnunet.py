"""python -m benchmarks.peers.nnunet --python PYTHON --cache CACHE --folds FOLDS.csv --out OUT

nnU-Net v2 itself, of an environment of its own, on the folds of a cache: converted, planned,
trained for so many seconds a fold on one thread, and its last checkpoint's segmentations written
as csvs for `gutseg score`. Folds that are there already are left alone. See docs/peers.md.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from benchmarks.peers.nnunet_data import DATASET, ENDING, Part, split, write_csvs, write_dataset
from gutseg.data.cache import Cache
from gutseg.data.folds import assign, chosen, read_folds
from gutseg.files import read_json, write_json

CONFIGURATION = "2d"
# in the folder of all it writes: which slices and folds it is of
BEGUN = "begun.json"
AUGMENTING = "nnUNet_n_proc_DA"
TRAINING = Path(__file__).with_name("nnunet_training.py")


def main() -> None:
    """Convert, plan, train and export what is not there yet."""
    given = _arguments()
    data = Cache(given.cache)
    rows = data.index.assign(fold=assign(data.index, read_folds(given.folds), given.folds))
    parts, splits = split(rows)
    wanted = chosen(given.fold, list(range(len(splits))), "those of the fold file")
    _check_same(given, rows, data)
    results = given.out / f"{given.seconds:g}s"
    variables = _variables(given.out, results)
    prepared = given.out / "preprocessed" / DATASET
    if not (prepared / "splits_final.json").is_file():
        raw = given.out / "raw" / DATASET
        # each scan once: planned for all parts, whose slices repeat, batches would be too large
        once = [parts[name] for side in splits[0].values() for name in side]
        write_dataset(data, once, raw)
        _plan(given.python, ["--no_pp", *_pixels(given.spacing)], variables)
        write_dataset(data, parts.values(), raw)
        _preprocess(given.python, variables)
    write_json(prepared / "splits_final.json", splits)
    done: list[Part] = []
    for fold in wanted:
        masks = _masks(results, fold)
        held = [parts[name] for name in splits[fold]["val"]]
        if not all((masks / f"{part.name}{ENDING}").is_file() for part in held):
            order = [str(TRAINING), DATASET, CONFIGURATION, str(fold), str(given.seconds)]
            # 0: the process that trains makes its batches; the planner refuses that
            training = variables | {AUGMENTING: "0"}
            subprocess.run([str(given.python), *order], env=training, check=True)
        write_csvs(data, held, masks, results, f"fold{fold}")
        done += held
        source, truth = (results / f"fold{fold}{end}.csv" for end in ("", "_truth"))
        print(f"gutseg score {source} --truth {truth} --slices {given.cache}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.nnunet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--python", type=Path, required=True, help="where nnunetv2 is installed")
    parser.add_argument("--cache", type=Path, required=True, help="what gutseg prepare wrote")
    parser.add_argument("--folds", type=Path, required=True, help="what gutseg split wrote")
    parser.add_argument("--out", type=Path, required=True, help="a folder for all it writes")
    parser.add_argument("--seconds", type=float, default=250, help="of one core, to train a fold")
    parser.add_argument("--fold", default="all", help="a number, several (0,2) or all")
    parser.add_argument(
        "--spacing", type=float, help="mm of a pixel to plan for (default: that of the data)"
    )
    return parser.parse_args()


def _check_same(given: argparse.Namespace, rows: pd.DataFrame, data: Cache) -> None:
    """Refuse a folder that was begun with other slices, folds or spacings."""
    pixels = {name: data.fingerprint(name) for name in rows["scan"].unique()}
    listed = rows[["id", "fold"]].assign(scan=rows["scan"].map(pixels)).to_csv(index=False)
    facts = {"slices": hashlib.sha256(listed.encode()).hexdigest(), "spacing": given.spacing}
    path = given.out / BEGUN
    if path.is_file() and (before := read_json(path)) != facts:
        changed = [key for key in facts if before.get(key) != facts[key]]
        sys.exit(f"{given.out} was begun with other {' and '.join(changed)}; give another --out")
    if not path.is_file() and (given.out / "preprocessed").is_dir():
        sys.exit(f"{given.out} has data but no {BEGUN} that says of what; give another --out")
    given.out.mkdir(parents=True, exist_ok=True)
    write_json(path, facts)


def _variables(out: Path, results: Path) -> dict[str, str]:
    """Return nnU-Net's folders and one process, one thread, for everything it does."""
    folders = {"raw": out / "raw", "preprocessed": out / "preprocessed", "results": results}
    once = ("nnUNet_def_n_proc", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    found = os.environ | {f"nnUNet_{key}": str(path.resolve()) for key, path in folders.items()}
    return found | dict.fromkeys((*once, AUGMENTING), "1") | {"PYTHONPATH": ""}


def _pixels(spacing: float | None) -> list[str]:
    return ["-overwrite_target_spacing", *[str(spacing)] * 3] if spacing else []


def _plan(python: Path, options: list[str], variables: dict[str, str]) -> None:
    _call(python, "plan_and_preprocess_entry", ["-npfp", "1", *options], variables)


def _preprocess(python: Path, variables: dict[str, str]) -> None:
    _call(python, "preprocess_entry", ["-np", "1"], variables)


def _call(python: Path, entry: str, options: list[str], variables: dict[str, str]) -> None:
    """Run a command of nnU-Net's planning."""
    module = "nnunetv2.experiment_planning.plan_and_preprocess_entrypoints"
    order = ["-d", DATASET[7:10], "-c", CONFIGURATION, *options]
    call = f"from {module} import {entry}; {entry}()"
    subprocess.run([str(python), "-c", call, *order], env=variables, check=True)


def _masks(results: Path, fold: int) -> Path:
    run = f"SecondsTrainer__nnUNetPlans__{CONFIGURATION}"
    return results / DATASET / run / f"fold_{fold}" / "validation"


if __name__ == "__main__":
    main()
