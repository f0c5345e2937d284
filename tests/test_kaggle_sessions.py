"""The kernels that train and score, and the notebooks, run in this process on a small world."""

import json
import re
import runpy
import shutil
import signal
import sys
import types
from pathlib import Path

import pandas as pd
import pytest

from gutseg.constants import COMPETITION
from gutseg.engine.journal import Journal
from gutseg.held_out import held_out
from gutseg.kaggle import notebook, session
from gutseg.kaggle.bundle import KERNELS, complete
from gutseg.kaggle.code_bundle import build_code_bundle
from gutseg.kaggle.pictures import draw_slices
from gutseg.score import score
from gutseg.submit import submit
from gutseg.train import train

TINY = """
geometry: {kind: pad, size: [48, 64]}
stack: {slices: 3}
model: {name: unet, params: {widths: [8, 16], norm: batch}}
train: {epochs: 2, steps_per_epoch: 3, batch_size: 4, tensorboard: false}
"""


@pytest.fixture
def kaggle(tmp_path, trained, monkeypatch):
    """A function that runs a kernel's script beside attached sources, from a working folder."""
    inputs = tmp_path / "input"
    (inputs / "competitions").mkdir(parents=True)
    (inputs / "competitions" / COMPETITION).symlink_to(trained.raw)
    monkeypatch.setenv("GUTSEG_INPUT", str(inputs))
    monkeypatch.setattr(sys, "path", sys.path[:])

    def run(kind, working):
        (tmp_path / working).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / working)
        return runpy.run_path(str(KERNELS / kind / f"{kind}.py"), run_name="kernel")

    run.inputs = inputs
    return run


def _build(tmp_path, kind, config=None):
    folder = tmp_path / "build"
    build_code_bundle(kind, folder, "somebody", config, wheels=False)
    target = tmp_path / "input" / "datasets" / "somebody" / f"gutseg-{kind}-bundle"
    shutil.copytree(folder / "bundle", target)
    return folder


def test_training_stops_in_time_and_resumes_from_its_own_output(
    kaggle, tmp_path, trained, monkeypatch, capsys
):
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY)
    _build(tmp_path, "train", config)
    cache = tmp_path / "cache"
    kernel = kaggle("train", "first")
    monkeypatch.setitem(kernel["train"].__globals__, "CACHE", cache)
    write = Journal.write

    def late(journal, history):
        write(journal, history)
        signal.raise_signal(signal.SIGALRM)  # the session's time is over after its first epoch

    monkeypatch.setattr(Journal, "write", late)
    kernel["train"](kernel["open_bundle"](kernel["INPUT"], kernel["BUNDLE_SHA256"]))
    said = capsys.readouterr().out
    assert "no tiny/fold0/last.pt is attached: training begins" in said
    assert "stopped after 8.5 hours; attach this kernel's output to it and run it again" in said
    monkeypatch.setattr(Journal, "write", write)

    # Kaggle mounts the output of a kernel below notebooks/<owner>/<slug>
    output = kaggle.inputs / "notebooks" / "somebody" / "gutseg-train"
    shutil.copytree(tmp_path / "first", output)
    kernel = kaggle("train", "second")
    monkeypatch.setitem(kernel["train"].__globals__, "CACHE", cache)
    kernel["train"](kernel["open_bundle"](kernel["INPUT"], kernel["BUNDLE_SHA256"]))
    said = capsys.readouterr().out
    assert f"training resumes from {output}/runs/tiny/fold0, epochs so far: 1" in said
    assert "runs/tiny/fold0 is trained" in said
    folder = tmp_path / "second" / "runs" / "tiny" / "fold0"
    assert list((folder / "oof").glob("*.npz")) and held_out(folder)

    # as if it had never been stopped
    monkeypatch.chdir(tmp_path)
    train(config, [f"data.folder={cache}", "data.folds=5", f"runs={tmp_path / 'whole'}"], fold="0")
    columns = ["epoch", "train_loss", "val_loss", "score"]
    whole, resumed = (
        pd.read_csv(at / "metrics.csv")[columns]
        for at in (tmp_path / "whole" / "tiny" / "fold0", folder)
    )
    pd.testing.assert_frame_equal(whole, resumed, check_exact=True)


def test_the_longest_attached_training_is_taken_once(kaggle, tmp_path, trained, monkeypatch):
    """Of two outputs the one with more epochs; what is in the working folder is never replaced."""
    epochs = {"old": 1, "new": 3, "middle": 2}
    for name in epochs:
        folder = kaggle.inputs / name / "runs" / "tiny" / "fold1"
        folder.mkdir(parents=True)
        (folder / "last.pt").write_text(name)
        (folder / "optimizer.pkl").write_text("not taken")
    monkeypatch.setattr(session.checkpoint, "history", lambda path: [{}] * epochs[path.read_text()])
    config = types.SimpleNamespace(runs=tmp_path / "runs", name="tiny")
    folder = session.take_over(kaggle.inputs, config, 1)
    assert [path.name for path in folder.iterdir()] == ["last.pt"]
    assert (folder / "last.pt").read_text() == "new"
    epochs["old"] = 9
    session.take_over(kaggle.inputs, config, 1)
    assert (folder / "last.pt").read_text() == "new"


def test_the_timer_is_gone_after_the_block():
    before = signal.getsignal(signal.SIGALRM)
    with session.limited(60):
        assert 59 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) is before
    with pytest.raises(ValueError, match="as it is"), session.limited(60):
        raise ValueError("as it is")


def test_how_long_a_session_is(kaggle, monkeypatch, capsys):
    assert kaggle("train", "a")["SECONDS"] == 8.5 * 3600
    monkeypatch.setenv("GUTSEG_SECONDS", "0.01")
    assert kaggle("train", "a")["SECONDS"] == 0.01
    for seconds, said in ((9.0, "stopped after 9 s; "), (5400, "stopped after 1.5 hours; ")):
        with session.limited(seconds):
            signal.raise_signal(signal.SIGALRM)
        assert capsys.readouterr().out.startswith(said)


def test_attached_submissions_and_runs_are_scored(kaggle, tmp_path, trained, capsys):
    _build(tmp_path, "cv")
    output = kaggle.inputs / "my-output"
    output.mkdir()
    shutil.copytree(trained.run, output / "tiny")
    submit(trained.blend, trained.raw, output / "submission.csv", debug_scans=2)
    (output / "other.csv").write_text("id,class,predicted\ncase99_day0_slice_0001,stomach,\n")
    kernel = kaggle("cv", "working")
    kernel["open_bundle"](kernel["INPUT"], kernel["BUNDLE_SHA256"])
    kernel["score"]()
    found = json.loads(Path("score.json").read_text())
    assert set(found) == {"my-output/submission.csv", "my-output/tiny"}
    ours = json.loads((output / "score.json").read_text())
    assert found["my-output/submission.csv"] == {k: v for k, v in ours.items() if k != "not_scored"}
    score(trained.run, json=tmp_path / "run.json")
    run = json.loads((tmp_path / "run.json").read_text())
    assert found["my-output/tiny"]["per_scan"] == run["per_scan"]
    assert found["my-output/tiny"]["score"] == run["score"]
    assert "my-output/tiny (default:" in capsys.readouterr().out


def test_without_anything_to_score_the_kernel_says_what_to_attach(kaggle):
    kernel = kaggle("cv", "working")
    with pytest.raises(ValueError, match="nothing to score below .*fold<k>/oof"):
        kernel["score"]()


@pytest.mark.parametrize("kind", notebook.KINDS)
def test_a_notebook_is_its_script(kind):
    text = (KERNELS / kind / f"{kind}.ipynb").read_text()
    assert text == notebook.text_of(kind), "run: make notebooks"
    content = json.loads(text)
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    parts = ["".join(cell["source"]) for cell in code]
    script = complete((KERNELS / kind / f"{kind}.py").read_text(), "").split('"""', 2)[2]
    shown = parts[:-1] if kind in notebook.SHOWN else parts
    assert "\n\n\n".join(shown) == re.sub(r"\n{3,}", "\n\n\n", script.strip("\n"))
    compile("\n".join(parts), kind, "exec")


def test_the_notebook_of_the_kernel_runs_and_shows_three_slices(
    kaggle, tmp_path, trained, monkeypatch
):
    from gutseg.kaggle.bundle import build_bundle

    build_bundle(trained.blend, tmp_path / "build", "somebody", wheels=False)
    shutil.copytree(tmp_path / "build" / "bundle", kaggle.inputs / "gutseg-bundle")
    shown = []
    display = types.ModuleType("IPython.display")
    display.Image, display.display = str, shown.append
    ipython = types.ModuleType("IPython")  # matplotlib asks for these two where it is there
    ipython.version_info, ipython.get_ipython = (8, 30), lambda: None
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    names = {"__name__": "__main__"}
    for cell in notebook.notebook("infer")["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "cell", "exec"), names)
    submit(trained.blend, trained.raw, tmp_path / "home.csv")
    assert Path("submission.csv").read_bytes() == (tmp_path / "home.csv").read_bytes()
    assert Path("score.json").read_bytes() == (tmp_path / "score.json").read_bytes()
    assert shown == ["slices.png"] and Path("slices.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_shows_predictions_beside_labels(tmp_path, trained, monkeypatch):
    panels = []
    monkeypatch.setattr(
        "gutseg.kaggle.pictures.slice_figure", lambda path, found: panels.extend(found)
    )
    rows = pd.read_csv(trained.raw / "train.csv", keep_default_na=False)
    rows.columns = ["id", "class", "predicted"]
    rows["predicted"] = rows["predicted"].where(rows["class"] == "stomach", "")
    rows.to_csv(tmp_path / "s.csv", index=False)
    draw_slices(tmp_path / "s.csv", trained.raw, tmp_path / "p.png")
    assert len(panels) == 3 and len({panel.title for panel in panels}) == 3
    assert all(panel.title.startswith("case1_day0, slice ") for panel in panels)
    for panel in panels:
        assert panel.truth.any() and (panel.prediction[2] == panel.truth[2]).all()
        assert not panel.prediction[:2].any() and panel.image.shape == (40, 48)


def test_a_kernel_that_trains_needs_a_config(tmp_path):
    with pytest.raises(ValueError, match="--kind train needs --config, a YAML of configs/"):
        build_code_bundle("train", tmp_path / "b", "somebody")
    with pytest.raises(ValueError, match="--kind cv reads no --config"):
        build_code_bundle("cv", tmp_path / "b", "somebody", tmp_path / "tiny.yaml")
    assert not list(tmp_path.iterdir())
