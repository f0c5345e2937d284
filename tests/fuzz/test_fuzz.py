"""Three hundred broken inputs to every verb: one sentence and status 2, or the right result."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.cases import TURNS, case

CASES = 300
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """What became of the cases, which run in a process of their own that forks one for each."""
    path = tmp_path_factory.mktemp("fuzz") / "records.json"
    command = [sys.executable, "-m", "tests.fuzz", "--cases", str(CASES), "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert path.is_file(), done.stderr[-3000:]
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("verb", TURNS)
def test_broken_input_is_refused_in_one_sentence(records, verb):
    wrong = [
        f"python -m tests.fuzz --seed {record['seed']}: {record['title']}: {problem}"
        for record in records
        if record["verb"] == verb
        for problem in record["problems"]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_the_cases_are_spread(records):
    """All verbs, most kinds of file; some refused, some rightly accepted, none run twice."""
    assert {record["verb"] for record in records} == set(TURNS)
    assert len({record["title"] for record in records}) > 0.95 * CASES
    assert len({record["kind"] for record in records}) >= 16
    accepted = sum(record["status"] == 0 for record in records)
    assert CASES // 20 < accepted < CASES // 2


def test_a_seed_is_always_the_same_case():
    assert case(123) == case(123)
    assert {case(seed).command.verb for seed in range(sum(TURNS.values()))} == set(TURNS)
