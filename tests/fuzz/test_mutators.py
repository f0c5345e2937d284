"""The mutators change what they say, and the contract notices each way of breaking it."""

import io
import json
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save

from tests.fuzz import binaries, mutators, texts
from tests.fuzz.commands import COMMANDS
from tests.fuzz.contract import Expected, Outcome, Reference, check

CSV = b"id,class,segmentation,case\na,stomach,1 2,1\nb,stomach,,2\nc,stomach,3 4,3\n"
YAML = yaml.safe_dump({"name": "x", "optim": {"lr": 0.1, "name": "adam"}, "n": [1, 2]}).encode()
TENSORS = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(3)}
FRAME = pd.DataFrame({"scan": ["a", "b"], "z": [0, 1], "case": [1, 2], "height": [4, 4]})


def _saved(write, *content, **named) -> bytes:
    stream = io.BytesIO()
    write(stream, *content, **named)
    return stream.getvalue()


PICTURE = cv2.imencode(".png", np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50)[1].tobytes()
LABELS = cv2.imencode(".png", np.eye(30, dtype=np.uint8))[1].tobytes()
Z = {"probabilities": np.ones((3, 2, 4, 5), np.uint8), "z": np.array([3, 4])}
SAMPLES = {
    "any": (mutators.CONTENT, YAML),
    "csv": (texts.CSV, CSV),
    "text": (texts.ENCODINGS, CSV),
    "yaml": (texts.YAML, YAML),
    "json": (texts.JSON, json.dumps({"a": {"b": 1}, "c": [2]}).encode()),
    "slice": (binaries.SLICE, PICTURE),
    "label": (binaries.LABEL, LABELS),
    "npy": (binaries.NPY, _saved(np.save, np.ones((4, 3, 2), np.uint16))),
    "npz": (binaries.NPZ, _saved(np.savez_compressed, **Z)),
    "pt": (binaries.PT, _saved(lambda s, c: torch.save(c, s), {"model": TENSORS, "other": 1})),
    "safetensors": (binaries.SAFETENSORS, save(TENSORS)),
    "parquet": (binaries.PARQUET, FRAME.to_parquet()),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, (table, _) in SAMPLES.items() for name in table]
)
def test_a_mutator_changes_the_file_and_repeats_itself(kind, name):
    table, data = SAMPLES[kind]
    found = [table[name](data, Random(seed)) for seed in range(6)]
    assert any(changed != data for changed in found)
    again = table[name](data, Random(3))
    assert kind == "pt" or again == found[3]


@pytest.mark.parametrize("name", mutators.DISASTERS)
def test_a_disaster_leaves_the_linked_original_alone(tmp_path, monkeypatch, name):
    """Copies of the world are hard links."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phantom").mkdir()
    (tmp_path / "phantom" / "phantom.json").write_text("{}")
    monkeypatch.setattr(Random, "choice", lambda self, options: options[-1])
    monkeypatch.setattr(mutators, "OTHERS", ["phantom/phantom.json"])
    original, path = tmp_path / "original.csv", tmp_path / "copy.csv"
    original.write_bytes(CSV)
    path.hardlink_to(original)
    mutators.DISASTERS[name](path, Random(0))
    assert original.read_bytes() == CSV
    assert not path.is_file() or path.is_symlink() or path.read_bytes() != CSV


SCORE = COMMANDS["score run"]
SENTENCE = "gutseg score: runs/tiny/fold0/best.pt is damaged; train this fold again\n"
REFERENCE = Reference("score 0.5\n", {"s.json": "0" * 64}, frozenset())


def _outcome(root: Path, status=2, stdout="", stderr=SENTENCE, **more) -> Outcome:
    return Outcome(status, stdout, stderr, 0.1, root, **more)


def _problems(outcome, verdict="fail") -> list[str]:
    return check(Expected(SCORE, verdict, ("best.pt",)), outcome, lambda: REFERENCE)


def test_a_refusal_in_one_sentence_is_right(tmp_path):
    assert _problems(_outcome(tmp_path)) == []
    assert _problems(_outcome(tmp_path), "either") == _problems(_outcome(tmp_path), "same") == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"status": 1}, "status 1"),
        ({"status": -11}, "status -11"),
        ({"status": None}, "no end"),
        ({"status": 0, "stdout": "score 0.5\n"}, "success on wrong input"),
        ({"stderr": ""}, "no line `gutseg score"),
        ({"stderr": "gutseg score: something is wrong"}, "names none of 'best.pt'"),
        ({"stderr": SENTENCE + "Traceback (most"}, "a library speaks: 'Traceback'"),
        ({"stderr": "Traceback (most\n" + SENTENCE}, "a traceback on stderr"),
        ({"stderr": SENTENCE + "weights_only=False will likely"}, "speaks: 'weights_only'"),
        ({"stderr": SENTENCE * 1 + "row 1: best.pt\n" * 30}, "in 31 lines"),
        ({"changed": {"s.json": "1" * 64}}, "a failure wrote s.json"),
        ({"changed": {"tiny.yaml": None}}, "a failure removed tiny.yaml"),
        ({"changed": {".s.json.1.tmp": "folder"}}, "temporary files stay"),
        ({"leftovers": ["tmpabc"]}, "temporary files stay: tmpabc"),
    ],
)
def test_every_way_to_break_the_contract_is_noticed(tmp_path, changes, problem):
    found = _problems(_outcome(tmp_path, **changes))
    assert any(problem in one for one in found), found


def test_success_must_be_the_untouched_one_where_the_change_is_harmless(tmp_path):
    (tmp_path / "s.json").write_text("half")
    said = {"status": 0, "stdout": "score 0.4\n", "stderr": ""}
    found = _problems(_outcome(tmp_path, changed={"s.json": "1" * 64}, **said), "same")
    assert "s.json is not what the untouched world gives" in found
    assert any("'score 0.4\\n' instead of 'score 0.5\\n'" in one for one in found)
    found = _problems(_outcome(tmp_path, changed={"folds.csv": "1" * 64}, **said), "either")
    assert found == ["changed 1 that are no outputs: folds.csv"]


def test_what_must_always_work_may_not_be_refused(tmp_path):
    assert "must go on whatever the images hold" in _problems(_outcome(tmp_path), "always")
