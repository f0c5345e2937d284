"""What the verbs may write over, what a second or an interrupted start finds, what is kept."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from bench_cases import CONTENT, write_pictures
from pipeline import TINY

from gutseg import bench as bench_verb
from gutseg import experiment, training
from gutseg.bench import bench
from gutseg.blend import blend
from gutseg.claims import claimed
from gutseg.data.folds import read_folds
from gutseg.demo import demo
from gutseg.engine import checkpoint
from gutseg.kaggle.bundle import build_bundle
from gutseg.predict import predict
from gutseg.prepare import prepare
from gutseg.score import score
from gutseg.split import split
from gutseg.submit import submit
from gutseg.train import train

GONE = Path("gone")


@pytest.fixture
def dear(tmp_path):
    """A folder of somebody's, by the names that verbs write; and a blend.yaml."""
    folder = tmp_path / "dear"
    for name in ("README.md", "config.yaml", "index.parquet", "blend.yaml/x", "fold0/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")
    (tmp_path / "blend.yaml").write_text("members: [{run: gone, folds: [0]}]")
    return folder


# The inputs do not exist: outputs are looked at before any work.
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: split(GONE, p), "dear is a folder; expected the name of a file"),
        (lambda p: score(GONE, json=p), "dear is a folder"),
        (lambda p: score(GONE, json=Path("/dev/full")), "/dev/full is a device"),
        (lambda p: score(GONE, json=p / "README.md"), "README.md exists and begins with b'years"),
        (lambda p: blend([GONE], p), "blend.yaml is a folder"),
        (lambda p: build_bundle(p.parent / "blend.yaml", p, "u", False), "README.md, which this"),
        (lambda p: build_bundle(p.parent / "blend.yaml", p.parent, "u", False), "this command rea"),
        (lambda p: build_bundle(p.parent / "blend.yaml", Path(".."), "u", False), "working direc"),
        (lambda p: demo(p), "holds README.md and nothing that this command wrote"),
    ],
)
def test_outputs_of_others_stay(dear, call, message):
    before = {path: path.read_bytes() for path in dear.parent.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=message):
        call(dear)
    assert before == {path: path.read_bytes() for path in dear.parent.rglob("*") if path.is_file()}


def test_the_raw_folder_is_not_written_over(raw, dear):
    before = {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}
    for out in (raw, raw / "train", raw / "train" / "case2"):
        with pytest.raises(FileExistsError, match="this command reads"):
            prepare(raw, out)
    with pytest.raises(FileExistsError, match="dear holds README.md and nothing that this"):
        prepare(raw, dear)
    for out in ("train.csv", "sample_submission.csv", "train/new.csv"):
        with pytest.raises(FileExistsError, match="this command reads"):
            submit(GONE, raw, raw / out)
    with pytest.raises(FileExistsError, match=r"README.md exists and begins with b'years"):
        submit(GONE, raw, dear / "README.md")
    assert before == {path: path.read_bytes() for path in raw.rglob("*") if path.is_file()}


def test_the_cache_is_not_split_over_its_index(cache):
    with pytest.raises(FileExistsError, match="this command reads"):
        split(cache, cache / "index.parquet")


def test_no_message_leads_to_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--out .*/organs_5fold.csv$"):
        read_folds(tmp_path)


@pytest.fixture
def start(cache, tmp_path):
    """A function that trains fold 0 for one step."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    split(cache, tmp_path / "folds.csv", folds=2)
    places = [f"data.folder={cache}", f"data.folds={tmp_path / 'folds.csv'}", f"runs={tmp_path}"]
    few = ["train.epochs=1", "train.steps_per_epoch=1", "model.params.widths=[4, 8]"]
    return lambda *changes: train(tmp_path / "tiny.yaml", [*places, *few, *changes], fold="0")


def test_a_refused_start_does_not_block_its_name(start, tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no such thing")

    with monkeypatch.context() as patched:
        patched.setattr(experiment, "learner", broken)
        with pytest.raises(ValueError, match="no such thing"):
            start("optim.lr=0.5")
    start("optim.lr=0.25")
    folder = tmp_path / "tiny" / "fold0"
    assert yaml.safe_load((folder / "config.yaml").read_text())["optim"]["lr"] == 0.25
    with pytest.raises(FileExistsError, match="trained with another config .*optim"):
        start("optim.lr=0.5")


def test_a_trained_fold_that_lost_its_config_is_not_given_another(start, tmp_path):
    start()
    path = tmp_path / "tiny" / "fold0" / "config.yaml"
    path.unlink()
    with pytest.raises(FileNotFoundError, match="fold0/config.yaml does not exist; .* copy it"):
        start("optim.lr=0.5")
    assert not path.exists()


def test_a_kill_between_config_and_meta_is_healed(start, tmp_path, monkeypatch):
    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(training, "provenance", killed)
        start()
    folder = tmp_path / "tiny" / "fold0"
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
    start()
    assert json.loads((folder / "meta.json").read_text())["fold"] == 0
    (folder / "meta.json").unlink()  # a run that an older version left without
    start()
    assert json.loads((folder / "meta.json").read_text())["fold"] == 0
    assert {path.name for path in folder.iterdir()} == {
        *("config.yaml", "meta.json", "metrics.csv", "best.pt", "last.pt")
    }


def test_two_trainings_do_not_share_a_fold(start, tmp_path):
    folder = tmp_path / "tiny" / "fold0"
    with claimed(folder, []), pytest.raises(FileExistsError, match="fold0 is being written by"):
        start()
    (folder / ".last.pt.abcd1234.tmp").mkdir(parents=True)  # of a killed one
    start()
    assert not list(folder.glob(".*"))
    with claimed(folder / "oof", []), pytest.raises(FileExistsError, match="oof is being written"):
        predict(folder.parent)


def test_a_foreign_run_folder_stays(start, tmp_path):
    folder = tmp_path / "tiny" / "fold0"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="holds notes.txt and nothing that this command"):
        start()
    (folder / "config.yaml").write_text("language: fr")
    with pytest.raises(ValueError, match="config.yaml: language: unknown key"):
        start()
    assert (folder / "config.yaml").read_text() == "language: fr"


@contextmanager
def small_disk():
    """Files cannot grow beyond 20,000 bytes.

    Not a fixture: pytest itself writes before fixtures end, perhaps into a long log.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_inside_a_checkpoint_is_named(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"a": torch.zeros(3)})
    message = r"last.pt could not be written: File too large; nothing"
    with small_disk(), pytest.raises(OSError, match=message):
        checkpoint.save(path, {"a": torch.zeros(100_000)})
    assert torch.equal(checkpoint.load(path)["a"], torch.zeros(3))
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_full_disk_names_the_scan_and_leaves_none_of_it(raw, tmp_path):
    message = r"case\d+_day\d could not be written: No space left"
    with small_disk(), pytest.raises(OSError, match=message):
        prepare(raw, tmp_path / "cache", workers=1)
    assert not list((tmp_path / "cache").glob("*"))


def test_earlier_outputs_of_the_same_command_are_replaced(trained, tmp_path):
    for trials in (2, 3):
        blend([trained.run], tmp_path / "blend", trials=trials)
        score(tmp_path / "blend" / "blend.yaml", json=tmp_path / "score.json")
        submit(tmp_path / "blend" / "blend.yaml", trained.raw, tmp_path / "s.csv", debug_scans=1)
        build_bundle(tmp_path / "blend" / "blend.yaml", tmp_path / "kaggle", "u", wheels=False)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"blend", "score.json", "s.csv", "kaggle"}


@pytest.fixture
def small_bench(tmp_path, monkeypatch):
    """A function that runs a bench whose cells are pretended."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONTENT))

    def run(status, *overrides, out=tmp_path / "out"):
        found = {"status": status, "reason": "the GPU has gone", "iou": 0.5}
        monkeypatch.setattr(bench_verb.Work, "__call__", lambda *_: found)
        bench(tmp_path / "tiny.yaml", ["tables=[]", *overrides], jobs=1, out=out)

    return run


def test_a_bench_without_a_finished_cell_fails(small_bench, tmp_path, capsys):
    with pytest.raises(ValueError, match=r"none of 8 cells ran .*the first: .*the GPU has gone"):
        small_bench("failed")
    assert (tmp_path / "out" / "README.md").read_text().count("failed: the GPU has gone") == 8
    small_bench("ok")
    assert "8 of 8 cells ran to their end" in capsys.readouterr().out


def test_a_bench_writes_over_its_own_folder_only(small_bench, dear, tmp_path):
    with pytest.raises(FileExistsError, match="dear holds README.md and nothing that this command"):
        small_bench("ok", out=dear)
    assert (dear / "README.md").read_text() == "years of work"
    small_bench("ok")
    config = (tmp_path / "out" / "config.yaml").read_text()
    with pytest.raises(FileExistsError, match="was run with other settings"):
        small_bench("ok", "set.train.batch_size=3")
    assert (tmp_path / "out" / "config.yaml").read_text() == config
    with claimed(tmp_path / "out", ["cells"]), pytest.raises(FileExistsError, match="is being"):
        small_bench("ok")


@pytest.mark.slow
def test_ctrl_c_stops_a_training_of_two_folds(cache, start, tmp_path):
    """Only the parent gets it; its processes end with it, what was finished stays."""
    places = [f"data.folder={cache}", f"data.folds={tmp_path / 'folds.csv'}", f"runs={tmp_path}"]
    command = [sys.executable, "-m", "gutseg", "train", str(tmp_path / "tiny.yaml"), *places]
    process = subprocess.Popen(
        [*command, "train.epochs=1000", "train.steps_per_epoch=2", "--jobs", "2"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.glob("tiny/*/last.pt")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    errors = process.communicate()[1]
    assert time.monotonic() - started < 8 and process.returncode == 130
    assert "gutseg train: stopped; finished epochs are kept" in errors
    assert "Traceback" not in errors
    for path in tmp_path.glob("tiny/*/last.pt"):
        assert checkpoint.load(path)["history"]
