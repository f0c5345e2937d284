"""python -m tests.fuzz [--cases 5000] [--first 0] [--seed 123]: feed every verb broken input."""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"), COLUMNS="200", CUDA_VISIBLE_DEVICES="")

import cv2  # noqa: E402 (libraries read the variables while they are imported)
import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from tests.fuzz.cases import case  # noqa: E402
from tests.fuzz.runner import Runner  # noqa: E402


def main() -> None:
    """Run cases, print those that break the contract; status 1 when there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--seed", type=int, help="replay one case and show all that it says")
    parser.add_argument("--verb", help="only this verb's cases")
    parser.add_argument("--json", type=Path, help="write a record of every case here")
    parser.add_argument("--keep", type=Path, help="work here, and leave the last world there")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.keep or Path(temporary)).resolve()
        with Runner(folder) as runner:
            one = chosen.seed is not None
            records = _replay(runner, chosen.seed) if one else _all(runner, chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(records, indent=1))
    _summary(records)
    sys.exit(any(record["problems"] for record in records))


def _all(runner: Runner, chosen: argparse.Namespace) -> list[dict]:
    cases = [case(seed) for seed in range(chosen.first, chosen.first + chosen.cases)]
    cases = [one for one in cases if chosen.verb in (None, one.command.verb)]
    records = []
    for one in tqdm(
        cases, desc="fuzz", unit="case", mininterval=0.1 if sys.stderr.isatty() else 30
    ):
        problems, outcome = runner.problems(one)
        records.append(_record(one, problems, outcome))
        if problems:
            tqdm.write(f"seed {one.seed}: {one.title}\n    " + "\n    ".join(problems))
    return records


def _replay(runner: Runner, seed: int) -> list[dict]:
    one = case(seed)
    problems, outcome = runner.problems(one)
    print(f"{one.title}\n--- stdout\n{outcome.stdout}\n--- stderr\n{outcome.stderr}")
    print(f"--- status {outcome.status}; changed: {outcome.changed}")
    print("\n".join(problems) or "nothing is wrong")
    return [_record(one, problems, outcome)]


def _record(one, problems: list[str], outcome) -> dict:
    return {
        "seed": one.seed,
        "verb": one.command.verb,
        "kind": one.kind,
        "title": one.title,
        "status": outcome.status,
        "seconds": round(outcome.seconds, 3),
        "message": outcome.stderr.strip()[-600:],
        "problems": problems,
    }


def _summary(records: list[dict]) -> None:
    print(f"{'verb':10}{'cases':>7}{'refused':>9}{'accepted':>10}{'wrong':>7}{'seconds':>9}")
    for verb in dict.fromkeys(record["verb"] for record in records):
        own = [record for record in records if record["verb"] == verb]
        status = Counter(record["status"] for record in own)
        wrong = sum(bool(record["problems"]) for record in own)
        seconds = sum(record["seconds"] for record in own)
        print(f"{verb:10}{len(own):7}{status[2]:9}{status[0]:10}{wrong:7}{seconds:9.1f}")


main()
