"""The verb: a tiny comparison on PNGs, run again, killed, on a cluster, with bad input."""

import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from bench_cases import CONTENT, blobs, tiny

from gutseg import bench as verb
from gutseg.bench import Work, bench, compare
from gutseg.study.grid import cells
from gutseg.study.report import page
from gutseg.study.report.tables import TABLES
from gutseg.study.report.view import View


@pytest.fixture
def pictures(tmp_path):
    """A folder that png_folder reads, and the config for it."""
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    data = blobs()
    for name, image, label in zip(data.names, data.images, data.labels, strict=True):
        rgb = np.repeat((255 * image).astype(np.uint8), 3, axis=2)
        cv2.imwrite(str(tmp_path / "data" / "images" / f"{name}.png"), rgb)
        cv2.imwrite(str(tmp_path / "data" / "labels" / f"{name}.png"), label)
    content = CONTENT | {"dataset": {"name": "png_folder", "folder": str(tmp_path / "data")}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def _never(*_):
    raise AssertionError("a finished cell was trained again")


def test_a_second_run_trains_nothing(pictures, monkeypatch, capsys):
    out = pictures / "out"
    bench(pictures / "tiny.yaml", jobs=1, out=out)
    assert "8 of 8 cells ran to their end" in capsys.readouterr().out
    frame = pd.read_parquet(out / "bench.parquet")
    assert len(frame) == 8 and set(frame["status"]) == {"ok"}
    monkeypatch.setattr(verb, "run", _never)
    bench(pictures / "tiny.yaml", jobs=1, out=out)
    pd.testing.assert_frame_equal(frame, pd.read_parquet(out / "bench.parquet"))
    page = (out / "README.md").read_text()
    assert "| loss | iou ± 95 % | p (Holm) |" in page and (out / "scores0.png").is_file()
    with pytest.raises(FileExistsError, match="budget: {'steps': 3, 'seconds': None} -> "):
        bench(pictures / "tiny.yaml", ["budget={steps: 4}"], jobs=1, out=out)


def test_processes_give_what_one_gives(pictures):
    for jobs in (1, 2):
        bench(pictures / "tiny.yaml", ["seeds=[0]"], jobs=jobs, out=pictures / str(jobs))
    frames = [pd.read_parquet(pictures / str(jobs) / "bench.parquet") for jobs in (1, 2)]
    same = ["id", "status", "loss_first", "iou", "iou.class 1"]
    pd.testing.assert_frame_equal(*(frame[same] for frame in frames), rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_diverging_loss_is_listed_and_the_others_go_on(tmp_path):
    settings = tiny(lrs=[1e30], optim={"name": "sgd"}, budget={"steps": 20}, seeds=[0])
    frame = compare(settings, Work(settings, blobs), tmp_path, 1)
    assert set(frame["status"]) == {"diverged"}
    text = page.write(frame, settings, tmp_path).read_text()
    assert text.count("diverged: the loss is nan in step") == len(frame) == 4


HYBRID = {
    "name": "hybrid_unet",
    "label": "hybrid",
    "params": {"widths": [8, 16], "local_levels": [0], "local_heads": 2, "external_heads": 2},
}
ALL = [
    {"name": "ce"},
    {"name": "dice"},
    {"name": "ce", "class_weights": "inverse"},
    {"name": "online_bootstrapping", "params": {"n": 20}},
    {
        "name": "weighted_sum",
        "label": "both",
        "params": {"terms": [{"loss": "ce"}, {"loss": "dice"}]},
    },
]


def test_every_table_is_drawn(tmp_path, monkeypatch):
    """One cell is trained; the others have its result with another score."""
    settings = tiny(
        losses=ALL,
        best_with={"count": 1, "network": HYBRID},
        lrs=[0.01, 0.001],
        patches=[[16, 16], [8, 24]],
        seeds=[0],
        hard_shares=[8, 16],
        tail=2,
        budget={"steps": 2},
        tables=list(TABLES),
    )
    found = verb.run(cells(settings)[0], settings, blobs())

    def pretended(cell, *_):
        return found | {"iou": (len(cell.loss.label) + cell.seed + cell.fold) / 99}

    monkeypatch.setattr(verb, "run", pretended)
    frame = compare(settings, Work(settings, blobs), tmp_path, 1)
    assert len(frame) == 5 * 2 * 2 * 2 + 2 * 2 * 2
    text = page.write(frame, settings, tmp_path).read_text()
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
    assert all(
        (tmp_path / f"{name}0.png").is_file() for name in ("scores", "ranks", "isolines", "boxes")
    )
    assert (tmp_path / "curves.png").is_file()


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


def test_the_page_says_how_crops_vary(tmp_path):
    plain = {"flips": False, "quarter_turns": False}
    inputs = [
        {},
        {"label": "still"} | plain,
        {"label": "moved", "preset": "elastic_blur_noise"} | plain,
    ]
    settings = tiny(inputs=inputs, seeds=[0], only_folds=[0], losses=[{"name": "ce"}], tables=[])
    frame = compare(settings, Work(settings, blobs), tmp_path, 1)
    text = page.write(frame, settings, tmp_path).read_text()
    assert (
        "augmented by flips and quarter turns; still: nothing; moved: elastic_blur_noise. " in text
    )


def test_nothing_to_show_says_so(tmp_path):
    tables = ["networks", "sums", "weighted_losses", "lr_by_patch"]
    tables += ["hard_pixel_numbers", "hard_pixel_classes"]
    settings = tiny(seeds=[0], only_folds=[0], tables=tables)
    frame = compare(settings, Work(settings, blobs), tmp_path, 1)
    text = page.write(frame, settings, tmp_path).read_text()
    assert text.count("No cell has what this table shows.") == 6


def test_a_killed_run_goes_on(pictures):
    out, settings = pictures / "out", ["budget={seconds: 0.4}"]
    command = [sys.executable, "-m", "gutseg", "bench", str(pictures / "tiny.yaml"), *settings]
    process = subprocess.Popen(
        [*command, "--jobs", "1", "--out", str(out)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not list(out.glob("cells/*/result.json")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/result.json")}
    assert 1 <= len(done) < 8
    bench(pictures / "tiny.yaml", settings, jobs=1, out=out)
    assert len(pd.read_parquet(out / "bench.parquet")) == 8
    assert {path: path.stat().st_mtime_ns for path in done} == done


class _Deadly(Work):
    """Work whose process is killed on the loss `dice`; once, or whenever it is tried."""

    def __call__(self, cell):
        once = self.bench.dataset.folder / "died"
        if cell.loss.name == "dice" and (self.bench.name == "always" or not once.exists()):
            once.write_text("")
            os.kill(os.getpid(), 9)
        return {"status": "ok", "reason": "", self.bench.score: 0.5}


@pytest.mark.parametrize(
    ("name", "status"), [("once", "ok"), pytest.param("always", "failed", marks=pytest.mark.slow)]
)
def test_a_killed_process_costs_one_cell(tmp_path, name, status):
    source = {"name": "png_folder", "folder": str(tmp_path)}
    settings = tiny(name=name, dataset=source, seeds=[0], only_folds=[0])
    frame = compare(settings, _Deadly(settings, blobs), tmp_path / "out", 2)
    assert frame.set_index("label")["status"].to_dict() == {"ce": "ok", "dice": status}


def test_bad_input_names_what_is_wrong(pictures, monkeypatch):
    config, out = pictures / "tiny.yaml", pictures / "out"
    for overrides, message in (
        (["tables=[T99]"], "tables: unknown name 'T99'"),
        (["dataset.name=pngs"], "dataset: unknown name 'pngs'"),
        (["dataset.params={x: 1}"], "'png_folder' has no parameter 'x'"),
        (["dataset.folder=/nowhere"], "/nowhere is no folder"),
        (["losses=[{name: bce}]"], "losses.0: loss 'bce' works in multilabel, not multiclass"),
        (["folds=99"], "num_folds = 99; expected 2 to 6"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            bench(config, overrides, jobs=1, out=out)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="--ray needs Ray: pip install"):
        bench(config, [], jobs=1, ray="auto", out=out)
    assert verb.__doc__.startswith("gutseg bench CONFIG")


@pytest.mark.slow
def test_cells_run_on_a_cluster_of_two_nodes(pictures, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        bench(pictures / "tiny.yaml", ["seeds=[0]"], ray=cluster.address, out=pictures / "ray")
    finally:
        ray.shutdown()
        cluster.shutdown()
    frame = pd.read_parquet(pictures / "ray" / "bench.parquet")
    assert set(frame["status"]) == {"ok"} and frame["process"].nunique() >= 2
    bench(pictures / "tiny.yaml", ["seeds=[0]"], jobs=1, out=pictures / "here")
    here = pd.read_parquet(pictures / "here" / "bench.parquet")
    same = ["id", "loss_first", "iou"]
    pd.testing.assert_frame_equal(frame[same], here[same], rtol=1e-4)
