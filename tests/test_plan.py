"""gutseg plan: from a folder to a config that trains, and what it refuses."""

import pytest
from pictures import write_isbi, write_nuclei

from gutseg import plan as plan_verb
from gutseg.config import load
from gutseg.plan import plan
from gutseg.planning import Machine
from gutseg.train import train

SHORT = ["train.epochs=1", "train.steps_per_epoch=1", "train.tensorboard=false"]
STEPS = ["train.steps=1", "train.steps_per_epoch=1", "train.tensorboard=false"]


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch):
    """A machine whose network is small: the plan is then the same wherever the tests run."""
    monkeypatch.setattr(plan_verb, "this_machine", lambda: Machine(cores=1, memory_gib=2.0))


def test_a_plan_of_a_cache_trains(cache, tmp_path, capsys):
    out = tmp_path / "plan.yaml"
    plan(cache, out=out)
    said = capsys.readouterr().out
    assert "40 x 48 (5), 36 x 36 (1)" in said and said.endswith(f"gutseg train {out}\n")
    settings = load(out)
    assert settings.geometry.kind == "body" and settings.data.folds == 5
    train(out, [*SHORT, f"runs={tmp_path / 'runs'}", "train.score_every=1"], fold="0")
    assert (tmp_path / "runs" / "plan" / "fold0" / "best.pt").is_file()


def test_a_plan_of_pictures_trains(tmp_path):
    write_nuclei(tmp_path / "nuclei")
    out = tmp_path / "cells.yaml"
    plan(tmp_path / "nuclei", source="png_folder", out=out, param=["ignore=255"])
    settings = load(out)
    assert settings.data.params["ignore"] == 255 and settings.loss.name == "weighted_sum"
    train(out, [*STEPS, f"runs={tmp_path / 'runs'}"], fold="0")
    assert (tmp_path / "runs" / "cells" / "fold0" / "best.pt").is_file()


def test_a_second_plan_replaces_the_first_and_nothing_else(tmp_path):
    folder, out = write_isbi(tmp_path / "cells"), tmp_path / "plan.yaml"
    plan(folder, source="isbi", out=out)
    first = out.read_text()
    plan(folder, source="isbi", out=out)
    assert out.read_text() == first
    out.write_text("name: mine\n")
    with pytest.raises(FileExistsError, match="not an earlier output"):
        plan(folder, source="isbi", out=out)
    assert out.read_text() == "name: mine\n"


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("ignore", "is not of the form key=value"),
        ("binary=true", "for all classes"),
        ("ignroe=1", "ignroe.*ignore"),
    ],
)
def test_a_wrong_parameter_of_a_source_is_one_sentence(param, message, tmp_path):
    folder = write_nuclei(tmp_path / "nuclei")
    with pytest.raises(ValueError, match=message):
        plan(folder, source="png_folder", out=tmp_path / "x.yaml", param=[param])
    assert not (tmp_path / "x.yaml").exists()


def test_a_name_that_no_run_may_have_is_refused_before_writing(tmp_path):
    out = tmp_path / "a:b.yaml"
    with pytest.raises(ValueError, match=r"a:b.yaml: name: "):
        plan(write_isbi(tmp_path / "cells"), source="isbi", out=out)
    assert not out.exists()
