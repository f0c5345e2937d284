"""python -m tests.mutants [FILE ...]: break the code on purpose and see if the tests notice."""

import argparse
import hashlib
import json
import os
from itertools import groupby
from pathlib import Path

from tqdm import tqdm

from tests.mutants.generate import Mutant, mutants_of, unchanged
from tests.mutants.report import write
from tests.mutants.run import load_libraries, record, run_all

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "mutants"
CODEC = ["tests/masks/test_rle.py", "tests/masks/test_rle_column.py"]
# files of src/gutseg by how they begin, and the tests that must notice; the first that fits
GROUPS = {
    "losses/": ["tests/losses"],
    "masks/bit_rows.py": ["tests/masks/test_bit_rows.py", "tests/metrics/test_hausdorff.py"],
    "masks/rle": CODEC,
    "masks/intrinsics.py": ["tests/metrics", "tests/masks"],
    "masks/": ["tests/masks"],
    "metrics/hausdorff": ["tests/metrics/test_hausdorff.py"],
    "metrics/surface": ["tests/metrics/test_surface.py"],
    "metrics/slice_boxes.py": [
        "tests/metrics/test_slice_boxes.py",
        "tests/metrics/test_hausdorff.py",
    ],
    "metrics/competition.py": ["tests/metrics/test_competition.py"],
    "metrics/": ["tests/metrics"],
    "data/maps.py": ["tests/data/test_maps.py"],
    "data/augment.py": ["tests/data/test_augment.py"],
    "data/inputs.py": [
        "tests/data/test_geometry.py",
        "tests/data/test_stack.py",
        "tests/data/test_scaling.py",
    ],
    "inference/": [
        "tests/inference",
        # pooled counts and softmax; those of volumes from files take a training of a minute
        "tests/test_training.py::test_images_that_stand_alone_are_trained_predicted_and_scored[nuclei]",
        "tests/test_training.py::test_what_lies_below_an_ignore_mask_changes_nothing",
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="below src/gutseg, e.g. losses masks/rle")
    parser.add_argument("--sample", type=int, default=40, help="mutants of a file at most")
    parser.add_argument(
        "--after", type=int, default=0, help="leave out the first ones of a file's sample"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes side by side")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    source = ROOT / "src" / "gutseg"
    files = sorted(p.relative_to(source).as_posix() for p in source.rglob("*.py"))
    files = [f for f in files if any(map(f.startswith, GROUPS)) and (source / f).stat().st_size]
    mutants = {file: mutants_of(ROOT, file) for file in files}
    wanted = [file for file in files if any(map(file.startswith, arguments.files or [""]))]
    first, last = arguments.after, arguments.after + arguments.sample
    chosen = [m for file in wanted for m in mutants[file][first:last]]
    # tests were written for the survivors of the first sample; a later one is kept apart
    log = OUT / ("later.jsonl" if first else "results.jsonl")
    _run(chosen, arguments.jobs, log)
    results, rows = _read(log), []
    if first:
        states = [results[mutant.key]["state"] for mutant in chosen]
        left = [mutant for mutant in chosen if results[mutant.key]["state"] == "survived"]
        print(*(f"{m.file}:{m.line}: {' -> '.join(m.change)}" for m in left), sep="\n")
        print(f"{len(states) - len(left)} of {len(states)} killed, equivalents not taken out")
        return
    for file in files:
        code = _hash([f"src/gutseg/{file}"])
        current = {k: r["state"] for k, r in results.items() if r["code"] == code}
        tried = [(m, current[m.key]) for m in mutants[file] if m.key in current]
        if tried:
            rows.append((file, mutants[file], tried))
    write(ROOT, rows)


def _run(mutants: list[Mutant], jobs: int, path: Path) -> None:
    """Try the mutants that have no result yet, and add the results to the list."""
    load_libraries()
    results, work, versions = _read(path), [], {}
    for file, group in groupby(mutants, lambda mutant: mutant.file):
        paths = next(paths for start, paths in GROUPS.items() if file.startswith(start))
        versions[file] = code, asked = _hash([f"src/gutseg/{file}"]), _hash(paths)
        tests = record(ROOT, paths, OUT / f"{asked}-{_hash(['src'])}.json")
        control = unchanged(ROOT, file, f"unchanged-{code}-{asked}")
        todo = [m for m in [control, *group] if not _settled(results.get(m.key), code, asked)]
        work += [(mutant, tests) for mutant in todo]
    with path.open("a") as log:
        found = run_all(work, jobs, OUT)
        for mutant, state, seconds in tqdm(found, total=len(work), unit="mutant", smoothing=0):
            if not mutant.nodes and state != "survived":
                raise ValueError(f"{mutant.file}: the tests fail without a mutant")
            code, asked = versions[mutant.file]
            line = {"key": mutant.key, "state": state, "seconds": round(seconds, 1)}
            log.write(json.dumps(line | {"code": code, "tests": asked}) + "\n")
            log.flush()


def _settled(result: dict | None, code: str, tests: str) -> bool:
    """A mutant killed once stays killed by more tests; a survivor is tried on new ones."""
    if not result or result["code"] != code:
        return False
    return result["state"] != "survived" or result["tests"] == tests


def _read(path: Path) -> dict[str, dict]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {result["key"]: result for result in map(json.loads, lines)}


def _hash(paths: list[str]) -> str:
    files = [
        f
        for p in (ROOT / path.partition("::")[0] for path in paths)
        for f in ([p] if p.suffix == ".py" else p.rglob("*.py"))
    ]
    text = b"".join(path.read_bytes() for path in sorted(files))
    return hashlib.sha256(text).hexdigest()[:12]


if __name__ == "__main__":
    main()
