"""The verb: a tiny study on PNGs, run again, killed, on a cluster, with bad input; the phantom."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from bench_cases import CONTENT, content, tiny, write_pictures

from gutseg import bench as verb
from gutseg.bench import bench, compare
from gutseg.study.report import page
from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View
from gutseg.study.work import Work


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A working directory with a folder that png_folder reads, and the study for it."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(CONTENT, sort_keys=False))
    return tmp_path


def _never(*_, **__):
    raise AssertionError("a finished cell was trained again")


def test_a_second_run_trains_nothing(pictures, monkeypatch, capsys):
    out = pictures / "out"
    bench(pictures / "tiny.yaml", jobs=1, out=out)
    assert "8 of 8 cells ran to their end" in capsys.readouterr().out
    frame = pd.read_parquet(out / "bench.parquet")
    assert len(frame) == 8 and set(frame["status"]) == {"ok"}
    monkeypatch.setattr(Work, "__call__", _never)
    bench(pictures / "tiny.yaml", jobs=1, out=out)
    pd.testing.assert_frame_equal(frame, pd.read_parquet(out / "bench.parquet"))
    page = (out / "README.md").read_text()
    assert "| loss | iou ± 95 % | p (Holm) |" in page and (out / "scores0.png").is_file()
    with pytest.raises(FileExistsError, match="other settings .train.steps: 3 -> 4"):
        bench(pictures / "tiny.yaml", ["set.train.steps=4"], jobs=1, out=out)
    # the study that is kept beside the cells is the same study
    bench(out / "config.yaml", jobs=1, out=out)


def test_what_best_with_adds_is_refused_with_other_settings_too(pictures):
    def study(widths):
        wide = {"name": "unet", "params": {"widths": widths}}
        axes = {"model": [{"label": "second", "value": wide}]}
        best = {"count": 1, "axes": axes}
        return tiny({"seed": [0], "fold": [0]}, {"train.steps": 1}, best_with=best)

    assert len(compare(study([8, 8]), pictures / "out", jobs=1)) == 3
    with pytest.raises(FileExistsError, match="other settings .model.params.widths"):
        compare(study([4, 4]), pictures / "out", jobs=1)


def test_folds_of_a_cell_are_never_of_two_settings(pictures):
    """They share a config.yaml: another fold must not write over it what was changed since."""

    def study(fold, steps):
        return tiny({"seed": [0], "loss": [{"name": "ce"}], "fold": [fold]}, {"train.steps": steps})

    compare(study(1, 1), pictures / "out", jobs=1)
    with pytest.raises(FileExistsError, match="other settings .train.steps: 1 -> 2"):
        compare(study(0, 2), pictures / "out", jobs=1)
    assert len(compare(study(0, 1), pictures / "out", jobs=1)) == 1


def test_processes_give_what_one_gives(pictures):
    for jobs in (1, 2):
        bench(pictures / "tiny.yaml", ["axes.seed=[0]"], jobs=jobs, out=pictures / str(jobs))
    frames = [pd.read_parquet(pictures / str(jobs) / "bench.parquet") for jobs in (1, 2)]
    same = ["id", "status", "loss_first", "iou", "iou.class 1"]
    pd.testing.assert_frame_equal(*(frame[same] for frame in frames), rtol=1e-4)


def test_the_phantom_has_the_competitions_score(cache, tmp_path):
    """A study of whole slices of volumes: score and distance stand beside the pooled measures."""
    made = content({"loss": [{"name": "bce"}, {"name": "dice"}], "seed": [0]}, score="score")
    made["base"] |= {
        "data": {"folder": str(cache), "folds": 2},
        "stack": {"slices": 3},
        "geometry": {"kind": "body", "size": [32, 48]},
        "crop": None,
    }
    made["base"]["train"]["monitor"] = "score"
    path = tmp_path / "phantom.yaml"
    path.write_text(yaml.safe_dump(made))
    bench(path, jobs=1, out=tmp_path / "out")
    frame = pd.read_parquet(tmp_path / "out" / "bench.parquet")
    assert set(frame["status"]) == {"ok"} and len(frame) == 4
    assert frame[["score", "hausdorff", "competition_dice"]].notna().all(axis=None)
    expected = 0.4 * frame["competition_dice"] + 0.6 * (1 - frame["hausdorff"])
    pd.testing.assert_series_equal(frame["score"], expected, check_names=False)
    assert {"dice", "dice_fg", "iou.stomach", "pixels.large_bowel"} <= set(frame)
    assert "| loss | score ± 95 %" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.filterwarnings("ignore")
def test_a_diverging_loss_is_listed_and_the_others_go_on(pictures):
    base = {"optim.name": "sgd", "train.steps": 20}
    study = tiny({"optim.lr": [1e6], "seed": [0]}, base)
    frame = compare(study, pictures / "out", jobs=1)
    assert frame.groupby("label")["status"].unique().map(list).to_dict() == {
        "ce": ["diverged"],
        "dice": ["ok"],
    }
    text = page.write(frame, study, pictures / "out").read_text()
    assert text.count("diverged: weights are not finite after epoch 0") == 2


HYBRID = {
    "name": "hybrid_unet",
    "params": {"widths": [8, 16], "local_levels": [0], "local_heads": 2, "external_heads": 2},
}
ALL = [
    {"name": "ce"},
    {"name": "dice"},
    {"name": "ce", "class_weights": "inverse"},
    {"name": "online_bootstrapping", "params": {"n": 20}},
    {
        "label": "both",
        "value": {"name": "weighted_sum", "params": {"terms": [{"loss": "ce"}, {"loss": "dice"}]}},
    },
]


def test_every_table_is_drawn(pictures, monkeypatch):
    """One cell is trained; the others have its result with another score."""
    study = tiny(
        {
            "loss": ALL,
            "optim.lr": [0.01, 0.001],
            "crop.size": [[16, 16], [8, 24]],
            "seed": [0],
        },
        {"train.steps": 2, "train.tail": 2},
        best_with={"count": 1, "axes": {"model": [{"label": "hybrid", "value": HYBRID}]}},
        hard_pixels=[8, 16],
        tables=list(TABLES),
    )
    cell = study.cells([0, 1], pictures / "cells")[0]
    found = Work(study, {})(cell)

    def pretended(_, cell):
        return found | {"iou": (len(cell.label) + cell.config.seed + cell.fold) / 99}

    monkeypatch.setattr(Work, "__call__", pretended)
    frame = compare(study, pictures / "out", jobs=1)
    assert len(frame) == 5 * 2 * 2 * 2 + 2 * 2 * 2
    text = page.write(frame, study, pictures / "out").read_text()
    assert "No cell has what" not in text and "nan" not in text
    sections = dict(part.split(":", 1) for part in text.split("\n## ")[1:] if ":" in part)
    rows = {name: text.count("\n| ") for name, text in sections.items()}
    assert (
        rows["losses"] == 2 + 5 + 1
        and rows["class_weights"] == (2 + 3) + (2 + 7) + (2 + 2)
        and rows["hard_pixel_numbers"] == 2 + 2
    )
    assert rows["data"] == (2 + 2 * 3) + (2 + 1) + (2 + 6) + (2 + 3) + (2 + 4)
    assert rows["patches"] == (2 + 2 * 2) + (2 + 4 * 3) and rows["curves"] == 2 + 5 * 4
    assert set(sections) == set(TABLES)
    figures = [f"{name}0.png" for name in ("scores", "ranks", "isolines", "boxes")]
    assert all((pictures / "out" / name).is_file() for name in (*figures, "curves.png"))


def test_sums_are_marked_that_beat_their_parts(tmp_path):
    keys = ("dice", "iou", "precision", "recall")
    rows = [
        {"network": "u", "label": name, "loss": name, "terms": terms, **dict.fromkeys(keys, value)}
        for name, terms, value in (
            ("ce", "", 0.5),
            ("dice", "", 0.6),
            ("better", "ce+dice", 0.7),
            ("worse", "ce+dice", 0.55),
        )
    ]
    page = TABLES["sums"].drawn(View(pd.DataFrame(rows), "iou", tmp_path))
    assert page.count("↑") == 4 and "| u | better | 0.700 ↑ |" in page


def test_nothing_to_show_says_so(pictures):
    tables = ["networks", "sums", "weighted_losses", "lr_by_patch"]
    tables += ["hard_pixel_numbers", "hard_pixel_classes"]
    study = tiny({"seed": [0], "fold": [0]}, tables=tables)
    frame = compare(study, pictures / "out", jobs=1)
    text = page.write(frame, study, pictures / "out").read_text()
    assert text.count("No cell has what this table shows.") == 6


def test_a_killed_run_goes_on(pictures):
    out, settings = pictures / "out", ["set.train.steps=null", "set.train.seconds=0.4"]
    command = [sys.executable, "-m", "gutseg", "bench", str(pictures / "tiny.yaml"), *settings]
    process = subprocess.Popen(
        [*command, "--jobs", "1", "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(out.glob("cells/*/fold*.json")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/fold*.json")}
    assert 1 <= len(done) < 8
    bench(pictures / "tiny.yaml", settings, jobs=1, out=out)
    assert len(pd.read_parquet(out / "bench.parquet")) == 8
    assert {path: path.stat().st_mtime_ns for path in done} == done


class _Deadly(Work):
    """Work whose process is killed on the loss `dice`; once, or whenever it is tried."""

    def __call__(self, cell):
        once = Path("died")
        if cell.label == "dice" and (self.study.name == "always" or not once.exists()):
            once.write_text("")
            os.kill(os.getpid(), 9)
        return {"status": "ok", "reason": "", "iou": 0.5}


@pytest.mark.parametrize(
    ("name", "status"), [("once", "ok"), pytest.param("always", "failed", marks=pytest.mark.slow)]
)
def test_a_killed_process_costs_one_cell(pictures, monkeypatch, name, status):
    monkeypatch.setattr(verb, "Work", _Deadly)
    frame = compare(tiny({"seed": [0], "fold": [0]}, name=name), pictures / "out", jobs=2)
    assert frame.set_index("label")["status"].to_dict() == {"ce": "ok", "dice": status}


def test_bad_input_names_what_is_wrong(pictures, monkeypatch):
    config, out = pictures / "tiny.yaml", pictures / "out"
    for overrides, message in (
        (["tables=[T99]"], "tables: unknown name 'T99'"),
        (["base.data.source=pngs"], "data: unknown name 'pngs'"),
        (["set.data.params={x: 1}"], "'png_folder' has no parameter 'x'"),
        (["set.data.folder=/nowhere"], "/nowhere"),
        (["axes.loss=[{name: bce}]"], "axes.loss.0: loss: .*'bce'"),
        (["set.data.folds=99"], "99; expected 2 to 6"),
        (["base=3"], "base: "),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            bench(config, overrides, jobs=1, out=out)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="--ray needs Ray: pip install"):
        bench(config, [], jobs=1, ray="auto", out=out)


@pytest.mark.slow
def test_cells_run_on_a_cluster_of_two_nodes(pictures, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    seed = ["axes.seed=[0]"]
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        bench(pictures / "tiny.yaml", seed, ray=cluster.address, out=pictures / "ray")
    finally:
        ray.shutdown()
        cluster.shutdown()
    frame = pd.read_parquet(pictures / "ray" / "bench.parquet")
    assert set(frame["status"]) == {"ok"} and frame["process"].nunique() >= 2
    bench(pictures / "tiny.yaml", seed, jobs=1, out=pictures / "here")
    here = pd.read_parquet(pictures / "here" / "bench.parquet")
    same = ["id", "loss_first", "iou"]
    pd.testing.assert_frame_equal(frame[same], here[same], rtol=1e-4)
