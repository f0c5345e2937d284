"""The verbs one after the other, on a folder small enough for seconds."""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from folders import draw, write_csv, write_scan

from gutseg import blends, experiment
from gutseg.blend import blend
from gutseg.config import load, load_blend
from gutseg.constants import CLASSES
from gutseg.engine import checkpoint
from gutseg.inference.csv_scores import measure_csv
from gutseg.kaggle.bundle import build_bundle
from gutseg.kaggle.rehearsal import check_csv
from gutseg.kaggle.sandbox import run_like_kaggle
from gutseg.masks import rle_writing
from gutseg.metrics.clinical import Clinical
from gutseg.metrics.competition import METRICS, summarise
from gutseg.predict import predict
from gutseg.score import score, score_csv
from gutseg.submit import submit
from gutseg.train import train


def test_a_run_folder_says_what_it_was_made_with(trained):
    folder = trained.run / "fold0"
    assert {p.name for p in folder.iterdir()} >= {
        *("config.yaml", "meta.json", "metrics.csv", "last.pt", "best.pt", "oof")
    }
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["fold"] == 0 and meta["libraries"]["torch"] == torch.__version__.split("+")[0]
    assert len(meta["folds_sha256"]) == 64
    table = pd.read_csv(folder / "metrics.csv")
    assert len(table) == 3 and table["score"].notna().all()
    best = checkpoint.load(folder / "best.pt")["metrics"]
    assert best["score"] == table["score"].max()


def test_the_network_has_learnt_the_bright_blobs(trained):
    assert load_blend(trained.blend).score > 0.6


def test_validation_never_sees_a_training_patient(trained):
    config = load(trained.config, trained.overrides)

    table = experiment.rows(config, experiment.source(config))
    predicted = {fold: set() for fold in (0, 1)}
    for path in trained.run.glob("fold*/oof/*.npz"):
        predicted[int(path.parts[-3].removeprefix("fold"))].add(path.stem.split("_")[0])
    assert not predicted[0] & predicted[1]
    for fold in (0, 1):
        held_out = table[table["fold"] == fold]["scan"].str.split("_").str[0]
        assert set(held_out) == predicted[fold]


def test_training_again_changes_nothing(trained):
    before = (trained.run / "fold0" / "last.pt").read_bytes()
    train(trained.config, trained.overrides, fold="0")
    assert (trained.run / "fold0" / "last.pt").read_bytes() == before


def test_another_config_under_the_same_name_is_refused(trained):
    with pytest.raises(FileExistsError, match="another config .optim.lr: 0.02 -> 0.5.; give"):
        train(trained.config, [*trained.overrides, "optim.lr=0.5"], fold="0")


def test_blend_and_score_and_submission_agree(trained, tmp_path):
    """The search, the probabilities and a csv made of them give one and the same number."""
    solved = load_blend(trained.blend)
    groups = blends.out_of_fold(trained.blend, METRICS["default"]).results
    assert summarise(groups["all"], METRICS["default"]).score == pytest.approx(solved.score)
    opened, rows = blends.open_source(trained.blend), []
    for name in opened.scans:
        masks, seen = opened.masks(name)
        assert seen.all()
        for z in range(len(seen)):
            for organ, mask in zip(CLASSES, masks.to_arrays()[:, z], strict=True):
                rows.append((f"{name}_slice_{z + 1:04d}", organ, rle_writing.encode(mask)))
    write_csv(tmp_path / "oof.csv", rows, "predicted")
    results = score_csv(
        tmp_path / "oof.csv", trained.raw / "train.csv", trained.cache, METRICS["default"]
    )
    assert summarise(results, METRICS["default"]).score == pytest.approx(solved.score)
    # in millimetres the masks of the run and those of the csv are the same, too
    files = tmp_path / "oof.csv", trained.raw / "train.csv", trained.cache
    assert repr(blends.measured(opened, Clinical())) == repr(measure_csv(*files, Clinical()))


def test_score_tables_and_json(trained, tmp_path, capsys):
    score(trained.blend, by="fold", json=tmp_path / "s.json")
    shown = capsys.readouterr().out
    assert "fold 0" in shown and "fold 1" in shown and "(default:" in shown
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["score"] == pytest.approx(load_blend(trained.blend).score)
    assert set(found["per_class"]) == set(CLASSES) and len(found["per_scan"]) == 6
    (low, high), patients = found["intervals"]["score"], found["patients"]
    assert 0 <= low < found["score"] < high <= 1 and patients == 5
    assert f"95 % interval {low:.4f} to {high:.4f} over 5 patients" in shown
    assert set(found["per_class"]["stomach"]["intervals"]) == {"score", "dice", "hausdorff"}
    held = found["per_fold"]
    assert [*held] == ["fold 0", "fold 1"]
    assert sum(fold["patients"] for fold in held.values()) == 5
    for fold in held.values():
        low, high = fold["intervals"]["score"]
        assert low < fold["score"] < high and f"{low:.3f} to {high:.3f}" in shown
    score(trained.run, by="case", metric="one_sided")
    shown = capsys.readouterr().out
    assert "case5" in shown and "(one_sided:" in shown
    score(trained.run, by="class,scan,fold")
    shown = capsys.readouterr().out
    assert [shown.count(f"\n{part} ") for part in ("case5_day0", "fold 1", "all")] == [1, 1, 3]
    # of classes and of folds, not of scans, which show one patient each
    assert shown.count("score, 95 %") == 2
    score(trained.run, by="fold,scan", metric="clinical", json=tmp_path / "c.json")
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "c.json").read_text())
    assert shown.count("\nfold ") == 2 and shown.count("case5_day0") >= 1
    assert set(found["per_class"]) == set(CLASSES) and len(found["per_scan"]) == 6


def test_predictions_are_kept_until_the_weights_change(trained, tmp_path):
    copy = tmp_path / "tiny"
    shutil.copytree(trained.run, copy)
    path = next((copy / "fold0" / "oof").glob("*.npz"))
    path.unlink()
    others = {p: p.stat().st_mtime_ns for p in (copy / "fold0" / "oof").glob("*.npz")}
    predict(copy, fold="0")
    assert path.is_file()
    assert all(p.stat().st_mtime_ns == before for p, before in others.items())
    predict(copy, fold="0", tta="hflip")
    assert all(p.stat().st_mtime_ns != before for p, before in others.items())


def test_two_runs_blend_no_worse_than_the_first(trained, tmp_path):
    copy = tmp_path / "tiny"
    shutil.copytree(trained.run, copy)
    blend([trained.run, copy], tmp_path / "b", trials=12, seed=1)
    solved = load_blend(tmp_path / "b" / "blend.yaml")
    found = blends.out_of_fold(trained.run, METRICS["default"]).results["all"]
    plain = summarise(found, METRICS["default"])
    assert solved.score >= plain.score - 1e-9
    assert (tmp_path / "b" / solved.members[0].run).resolve() == trained.run


def test_a_loss_with_maps_and_class_weights_trains(trained):
    terms = "[{loss: distance_ce}, {loss: pixel_lesion}, {loss: border_weight_ce, weight: 0.1}]"
    changes = ["name=maps", f"loss={{name: weighted_sum, params: {{terms: {terms}}}}}"]
    few = ["train.epochs=1", "train.steps_per_epoch=3"]
    train(trained.config, [*trained.overrides, *changes, *few], fold="0")
    history = pd.read_csv(trained.run.parent / "maps" / "fold0" / "metrics.csv")
    parts = [
        f"{part}_{name}"
        for part in ("train", "val")
        for name in ("distance_ce", "pixel_lesion", "border_weight_ce")
    ]
    assert np.isfinite(history[parts].to_numpy()).all()
    weighted = ["name=weighted", "loss={name: bce_dice, class_weights: inverse}"]
    train(trained.config, [*trained.overrides, *weighted, *few], fold="0")


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    """What a notebook sees while it is scored: test/ and a full sample in an odd order."""
    root = tmp_path_factory.mktemp("hidden")
    rows = []
    for seed, (scan, shape) in enumerate(
        {"case7_day0": (6, 40, 48), "case8_day3": (5, 36, 36)}.items()
    ):
        rows += write_scan(root, scan, *draw(*shape, seed + 50), part="test")
    write_csv(root.parent / f"{root.name}_truth.csv", rows)
    ids = [(slice_id, organ, "") for slice_id, organ, _ in rows]
    write_csv(root / "sample_submission.csv", ids[::-1], "predicted")
    return root


def test_submission_follows_the_sample_and_scores(trained, hidden, tmp_path):
    out = tmp_path / "submission.csv"
    submit(trained.blend, hidden, out)
    ours = pd.read_csv(out, keep_default_na=False)
    sample = pd.read_csv(hidden / "sample_submission.csv", keep_default_na=False)
    assert list(ours.columns) == ["id", "class", "predicted"]
    assert ours[["id", "class"]].equals(sample[["id", "class"]])
    truth = hidden.parent / f"{hidden.name}_truth.csv"
    results = score_csv(out, truth, hidden, METRICS["default"])
    assert summarise(results, METRICS["default"]).score > 0.5


def test_a_header_only_sample_predicts_train_scans_in_the_order_of_train_csv(trained, tmp_path):
    out = tmp_path / "submission.csv"
    submit(trained.blend, trained.raw, out, debug_scans=2)
    ours = pd.read_csv(out)
    truth = pd.read_csv(trained.raw / "train.csv")
    chosen = truth[truth["id"].str.startswith(("case1_day0", "case1_day5"))]
    assert ours[["id", "class"]].values.tolist() == chosen[["id", "class"]].values.tolist()


def test_submit_names_a_slice_without_png_and_a_broken_one(trained, hidden, tmp_path):
    broken = tmp_path / "hidden"
    shutil.copytree(hidden, broken)
    path = next(broken.glob("test/case7/*/scans/slice_0003*"))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="slice_0003_48_40_1.50_1.50.png: not a PNG"):
        submit(trained.blend, broken, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()
    path.unlink()
    with pytest.raises(ValueError, match="case7_day0_slice_0003: the sample asks for this slice"):
        submit(trained.blend, broken, tmp_path / "s.csv")
    submit(trained.blend, broken, tmp_path / "s.csv", skip_bad=True)
    ours = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    assert len(ours) == 33
    assert (ours[ours["id"] == "case7_day0_slice_0003"]["predicted"] == "").all()


@pytest.mark.slow
@pytest.mark.parametrize(("nested", "cores"), [(False, 1), (True, 2)], ids=["<slug>", "nested"])
def test_the_kernel_writes_the_same_bytes_as_home(trained, hidden, tmp_path, nested, cores):
    """Read-only bundle, another folder, no network, both forms of mounts, one worker and two."""
    home = tmp_path / "home.csv"
    submit(trained.blend, hidden, home)
    build_bundle(trained.blend, tmp_path / "kaggle", user="somebody", wheels=False)
    for path in (tmp_path / "kaggle" / "bundle").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder, mine = tmp_path / "kaggle", os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(mine)[:cores])  # as many workers as cores
    try:
        ran = run_like_kaggle(folder, hidden, tmp_path / "work", nested=nested)
    finally:
        os.sched_setaffinity(0, mine)
    assert ran.written.read_bytes() == home.read_bytes()
    check_csv(ran.written, hidden)
    assert json.loads((folder / "infer" / "kernel-metadata.json").read_text())["id"].startswith(
        "somebody/"
    )


def test_the_kernel_is_short_and_its_metadata_is_what_kaggle_wants():
    from pathlib import Path

    folder = Path(__file__).parents[1] / "kernels" / "infer"
    metadata = json.loads((folder / "kernel-metadata.json").read_text())
    assert len((folder / metadata["code_file"]).read_text().splitlines()) < 60
    assert metadata["enable_internet"] is False and metadata["enable_gpu"] is True
    assert metadata["competition_sources"] == ["uw-madison-gi-tract-image-segmentation"]
    assert metadata["id"].split("/")[1] == metadata["title"].replace(" ", "-")


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _rank(rank, port, config, settings):
    """What one of torchrun's processes does."""
    torch.set_num_threads(1)
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    if port:
        os.environ |= {key: str(value) for key, value in places.items()}
        os.environ["MASTER_ADDR"] = "127.0.0.1"
    train(config, settings, fold="0")


def _train(trained, runs, epochs, processes, until=None):
    """Train fold 0 in fresh processes; kill -9 once the csv holds `until` rows."""
    settings = [*trained.overrides[:2], "train.ema=0.9"]
    settings += ["model.params={widths: [8, 16], norm: batch, dropout: 0.2}"]
    settings += ["train.steps_per_epoch=4", f"train.epochs={epochs}", f"runs={runs}"]
    # forked from a process that has imported and done nothing else
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gutseg.train", "torch._dynamo", "torch.distributed"])
    arguments = _free_port() if processes > 1 else 0, trained.config, settings
    ranks = [context.Process(target=_rank, args=(n, *arguments)) for n in range(processes)]
    for rank in ranks:
        rank.start()
    journal = runs / "tiny" / "fold0" / "metrics.csv"
    while until and all(rank.is_alive() for rank in ranks):
        if journal.is_file() and journal.read_text().count("\n") > until:
            for rank in ranks:
                rank.kill()
                rank.join()
            return
        time.sleep(0.01)
    for rank in ranks:
        rank.join()
    assert [rank.exitcode for rank in ranks] == [0] * processes
    assert not until, "the run ended before it could be killed"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_resumed_is_the_same_to_the_bit(trained, tmp_path, processes):
    _train(trained, tmp_path / "straight", 6, processes)
    _train(trained, tmp_path / "killed", 6, processes, until=2)
    partial = checkpoint.load(tmp_path / "killed" / "tiny" / "fold0" / "last.pt")
    assert 2 <= len(partial["history"]) < 6
    _train(trained, tmp_path / "killed", 6, processes)
    states = [
        checkpoint.load(tmp_path / run / "tiny" / "fold0" / "last.pt")
        for run in ("straight", "killed")
    ]
    for part in ("model", "average"):
        one, two = (state["learner"][part] for state in states)
        assert all(torch.equal(one[key], two[key]) for key in one)
    # every column but those of the clock and of the memory
    measured = ["seconds", "seconds_test", "seconds_per_step", "data_wait", "peak_mb"]
    histories = [pd.DataFrame(state["history"]).drop(columns=measured) for state in states]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


def _cli(*words, **settings):
    command = [sys.executable, "-m", "gutseg", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, **settings)


def test_bad_input_ends_with_one_sentence_and_code_2(tmp_path):
    done = _cli("prepare", tmp_path / "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("gutseg prepare: no train.csv or sample_submission.csv in")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t, p: train(t.config, t.overrides, fold="7"),
            "--fold 7: expected all or some of 0, 1",
        ),
        (lambda t, p: train(t.config, ["data.folder=/nowhere"]), "run: gutseg prepare"),
        (lambda t, p: predict(p), "is not a run folder: it has no fold"),
        (
            lambda t, p: predict(t.run, fold="5"),
            "--fold 5: expected all or some of 0, 1 (those that ",
        ),
        (lambda t, p: blend([p], p), "is not a run folder: it has no fold"),
        (lambda t, p: blend([t.run, t.run / "."], p), "is listed twice; give every run once"),
        (
            lambda t, p: blend([t.run], p, metric="dice"),
            "--metric: unknown name 'dice'; choices: default",
        ),
        (lambda t, p: score(p / "x.csv"), "--truth TRUTH.csv and --slices"),
        (lambda t, p: score(p / "b.yaml"), "b.yaml does not exist"),
        (lambda t, p: score(t.run, metric="x"), "--metric: unknown name 'x'"),
        (lambda t, p: score(p / "x.csv", p, p, fold="0"), "--fold is for a run or a blend"),
        (lambda t, p: score(t.run, by="day"), "--by day"),
        (lambda t, p: submit(p / "b.yaml", p), "no train.csv or sample_submission.csv"),
        (lambda t, p: submit(p / "b.yaml", t.raw), "b.yaml does not exist"),
        (lambda t, p: build_bundle(p / "b.yaml", p, "u", False), "b.yaml does not exist"),
        (lambda t, p: run_like_kaggle(p, t.raw, p / "w"), "run: gutseg kernel build"),
    ],
)
def test_every_verb_names_what_is_missing(trained, tmp_path, call, message):
    with pytest.raises((ValueError, OSError), match=message.replace("(", r"\(")):
        call(trained, tmp_path)


def test_blends_of_different_scans_are_refused(trained, tmp_path):
    copy = tmp_path / "tiny"
    shutil.copytree(trained.run, copy)
    shutil.rmtree(copy / "fold1")
    with pytest.raises(ValueError, match="predicted different scans, for example case"):
        blend([trained.run, copy], tmp_path / "b")


def test_slices_of_one_scan_can_be_divided(cache, tmp_path):
    """The learning check: folds of interleaved blocks inside single scans."""
    from pipeline import TINY

    from gutseg.split import split

    (tmp_path / "tiny.yaml").write_text(TINY)
    split(cache, tmp_path / "folds.csv", folds=2, block=2)
    places = [f"data.folder={cache}", f"data.folds={tmp_path / 'folds.csv'}", f"runs={tmp_path}"]
    train(tmp_path / "tiny.yaml", [*places, "train.epochs=1"])
    predict(tmp_path / "tiny")
    groups = blends.out_of_fold(tmp_path / "tiny", METRICS["default"]).results
    assert len(groups["all"]) == len(groups["fold 0"]) == 6
    parts = [
        np.isfinite(group[0].dice).any(axis=0)
        for group in (groups["fold 0"], groups["fold 1"], groups["all"])
    ]
    assert not (parts[0] & parts[1]).any()
