"""`gutseg best` on two runs, and the command that it prints."""

import json
import shlex
import shutil

import numpy as np
import pytest

from gutseg import runs
from gutseg.best import best
from gutseg.blend import blend
from gutseg.config import Rule, dump, load_blend
from gutseg.config.blend import Rules
from gutseg.inference import oof


@pytest.fixture
def pair(trained, tmp_path):
    """The run of `trained`, and one that knows the labels, with too much of the large bowel."""
    other = tmp_path / "other"
    shutil.copytree(trained.run, other)
    opened = runs.predictions(other)
    for fold, scans in opened.planes.items():
        for name, z in scans.items():
            found = opened.data.truth(opened.data.scan(name), z) * np.uint8(200)
            found[0, :, :3, :3] = 190
            oof.save(oof.folder(other, fold) / f"{name}.npz", found, z)
    return [trained.run, other]


def _run(command):
    """Call blend as the printed line says."""
    verb, name, *words = shlex.split(command)
    assert (verb, name) == ("gutseg", "blend")
    first = next(number for number, word in enumerate(words) if word.startswith("--"))
    given = dict(zip(words[first::2], words[first + 1 :: 2], strict=True))
    return words[:first], {key.removeprefix("--").replace("-", "_"): given[key] for key in given}


def test_the_table_the_winner_and_the_command_that_makes_it(pair, tmp_path, capsys, monkeypatch):
    """A rule drops what the run that knows all has too much; the other one can only hurt."""
    strict = Rules(large_bowel=Rule(0.5, min_component_ml=0.6))
    solved = load_blend(pair[0].parents[1] / "blend" / "blend.yaml")
    dump(solved.model_copy(update={"rules": strict}), tmp_path / "rules.yaml")
    monkeypatch.chdir(tmp_path)
    best(pair, tmp_path / "out", rules=tmp_path / "rules.yaml")
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "best.json").read_text())
    assert (
        found["chosen"] == [str(pair[1])] and found["chosen_without_fold"] == [[str(pair[1])]] * 2
    )
    assert found["runs"][0]["adds"]["value"] < 0 < found["runs"][1]["adds"]["value"]
    assert (
        found["cross_fitted"]["value"] == found["scores"][-1] == found["runs"][1]["alone"]["value"]
    )
    assert f"| {pair[1]} | {found['scores'][0]:.4f} (" in printed and "2 of 2 |" in printed
    names, options = _run(found["command"])
    assert f"    {found['command']}\n" in printed and options.pop("trials") == "1"
    blend([*map(type(pair[0]), names)], trials=1, **{k: tmp_path / v for k, v in options.items()})
    made = load_blend(tmp_path / "blends" / "best" / "blend.yaml")
    assert made.score == pytest.approx(found["scores"][-1]) and made.rules == strict
    assert len(made.members) == 1 and made.members[0].weight == 1


def test_a_search_says_what_it_is_worth_on_folds_it_did_not_see(pair, tmp_path, capsys):
    blend(pair, tmp_path / "b", trials=3, also="min_run,hull", cross_fit=True)
    first, second = capsys.readouterr().out.splitlines()[-2:]
    assert "with thresholds of 0.5 and nothing else" in first
    assert second.startswith(
        "cross-fitted, searched on all folds but one and scored on that one: 0."
    )
    assert "over thresholds of 0.5 and nothing else" in second


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one, out: best([one], out), "is one run; give two or more to choose from"),
        (lambda one, out: best([one, one], out), "is listed twice; give every run once"),
        (lambda one, out: blend([one], out, also="min_runs"), "--also: .*'min_runs'.*min_run"),
        (
            lambda one, out: blend([one], out, also="hull,hull"),
            "--also hull,hull: hull is listed tw",
        ),
    ],
)
def test_bad_arguments_are_named_before_any_work(call, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        call(tmp_path / "gone", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_fold_is_not_enough_to_choose_honestly(pair, tmp_path):
    with pytest.raises(ValueError, match="all folds but one, and there is 1 with predictions"):
        best(pair, tmp_path / "out", fold="0")
