"""What a check of the kernels that train and score demands of them, with scripts for kernels."""

import json

import pytest

from gutseg.kaggle import code_rehearsal, rehearsal, views

# A training of the standard library: an epoch a session, resumed from what is attached.
TRAINING = """
import os, sys
from pathlib import Path

assert os.environ["GUTSEG_SECONDS"] == "60" and not os.listdir(os.environ["TMPDIR"])
(Path(os.environ["TMPDIR"]) / "cache").mkdir()
inputs = Path(os.environ["GUTSEG_INPUT"])
before = sorted(inputs.glob("notebooks/user/gutseg-train/runs/a/*/last.pt"))
folder = Path("runs/a/fold0")
folder.mkdir(parents=True)
CHANGE
print(f"training resumes from {before[0].parent.name}" if before else "training begins")
print("epochs", 1 + len(before), "stopped after 60 s")
print("epoch 6:   0%|          | 0/3 [00:00<?, ?batch/s]", file=sys.stderr)
print("a warning", file=sys.stderr)
"""
SAVED = '(folder / "last.pt").touch()'
# It counts the rows of an attached submission that are those of train.csv.
SCORING = """
import json, os
from pathlib import Path

inputs = Path(os.environ["GUTSEG_INPUT"])
truth = next(inputs.glob("*/train.csv")).read_text().splitlines()[1:]
found = {}
for path in inputs.glob("datasets/*/labels/*.csv"):
    header, *rows = path.read_text().splitlines()
    same = sum(row in truth for row in rows) / len(rows)
    found[path.relative_to(inputs).as_posix()] = {"score": same * SHARE}
Path("score.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """What a public session sees of two patients, drawn once: its folder and its rows."""
    folder = tmp_path_factory.mktemp("drawn")
    return folder, views.write_public(folder, (1, 2))


@pytest.fixture
def check(built, drawn, tmp_path, monkeypatch, capsys):
    """A function that checks a build whose kernel is a script; returns what is printed."""

    def copy(images, cases):
        images.parent.mkdir(exist_ok=True)
        images.symlink_to(drawn[0])
        return drawn[1]

    monkeypatch.setattr(code_rehearsal, "CASES", (1, 2))
    monkeypatch.setattr(views, "write_public", copy)

    def run(kind, script):
        folder = built(script, kind)
        rehearsal.check(folder, kind=kind)
        return capsys.readouterr().out.replace(str(folder), "BUILD").splitlines()

    return run


def test_a_training_gets_two_sessions_and_the_second_resumes(check):
    first, second, last = check("train", TRAINING.replace("CHANGE", SAVED))
    assert first.startswith("first session on 2 scans: epochs 1 stopped after 60 s; ")
    assert second.startswith("second session on 2 scans: epochs 2 stopped after 60 s; ")
    assert last == (
        "BUILD: the kernel ran as on Kaggle; next: gutseg kernel push --kind train --folder BUILD"
    )


def test_a_training_that_begins_anew_fails_the_check(check):
    script = TRAINING.replace("CHANGE", f"{SAVED}\nbefore = []")
    with pytest.raises(ValueError, match="began anew although its own output was attached"):
        check("train", script)


def test_where_no_epoch_ends_in_time_it_is_said(check):
    lines = check("train", TRAINING.replace("CHANGE", ""))
    assert lines[1] == "no epoch ends here within 60 s, so that resuming was not tried"


def test_labels_held_against_themselves_score_one(check):
    first, _ = check("cv", SCORING.replace("SHARE", "1.0"))
    assert first.startswith("labels of 12 slices, held against themselves: score 1.0000; ")


def test_any_other_score_of_labels_fails_the_check(check):
    with pytest.raises(ValueError, match="held against themselves .*0.5}; expected 1"):
        check("cv", SCORING.replace("SHARE", "0.5"))


def test_options_of_the_kernel_that_submits_are_refused(tmp_path):
    for options in ({"images": tmp_path}, {"full": True}):
        with pytest.raises(ValueError, match="--images and --full are not for kernel --kind cv"):
            rehearsal.check(tmp_path, kind="cv", **options)


def test_the_public_view_is_of_a_patient_whom_the_folds_held_out(tmp_path):
    """So that the check shows a score; 5, 7 and 9 are the hidden test's new patients."""
    (tmp_path / "blend.yaml").write_text("members: [{run: a, folds: [0, 1]}]\n")
    held = {0: [5, 12], 1: [7, 11]}
    for fold, cases in held.items():
        (tmp_path / "a" / f"fold{fold}").mkdir(parents=True)
        note = tmp_path / "a" / f"fold{fold}" / "held_out.json"
        note.write_text(json.dumps({"cases": cases}))
    assert rehearsal.held_out_case(tmp_path / "blend.yaml") == 11
    (tmp_path / "score.json").write_text('{"score": 0.125}')
    said = rehearsal.described_score(tmp_path / "submission.csv", 11)
    assert said == "score 0.1250 of folds that had not seen case 11"
    for path in tmp_path.glob("a/*/held_out.json"):
        path.write_text('{"cases": [5, 7, 9]}')
    assert rehearsal.held_out_case(tmp_path / "blend.yaml") is None
    said = rehearsal.described_score(tmp_path / "submission.csv", None)
    assert said == "not scored, since every network may have seen its scan"
    (tmp_path / "score.json").unlink()
    with pytest.raises(FileNotFoundError, match="the public session writes it beside the csv"):
        rehearsal.described_score(tmp_path / "submission.csv", 11)
