"""gutseg reuse trains two networks and combines them; blend and score do so with finished runs."""

import json

import cv2
import numpy as np
import pytest
import yaml
from bench_cases import CONTENT, write_pictures

from gutseg import blends, runs
from gutseg import reuse as verb
from gutseg.blend import blend
from gutseg.config import load_blend
from gutseg.constants import CLASSES
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources import read
from gutseg.data.sources.competition import BINARY
from gutseg.kaggle.bundle import build_bundle
from gutseg.metrics.competition import METRICS
from gutseg.predict import predict
from gutseg.reuse import reuse
from gutseg.score import score
from gutseg.submit import submit
from gutseg.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with pictures, a config, and what the verb made of them: its folder `out`."""
    folder = tmp_path_factory.mktemp("reuse")
    write_pictures(folder / "data")
    base = CONTENT["base"] | {"loss": {"name": "dice"}}
    base["data"] = base["data"] | {"folder": str(folder / "data")}
    base["train"] = base["train"] | {"steps": 40}
    content = {"base": base, "binary": {"set": {"loss": {"name": "ce"}}}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    reuse(folder / "tiny.yaml", out=folder / "out")
    return folder


@pytest.fixture
def here(made, monkeypatch, tmp_path):
    """The config, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return made / "tiny.yaml"


def _picture(path):
    """Return a label picture's class numbers: by the colours of the first three."""
    shown = cv2.imread(str(path))[..., 2]  # red
    return np.select([shown == red for red in (0, 230, 86)], [0, 1, 2], -1)


def test_three_sets_of_pictures_and_the_weights_are_saved(made):
    out = made / "out"
    assert {path.name for path in out.iterdir()} == {
        *("reuse.yaml", "results.json", "multiclass", "binary", "pictures")
    }
    for stage in ("multiclass", "binary"):
        assert len(list(out.glob(f"{stage}/fold*/best.pt"))) == 2
    names = {f"image{number}.png" for number in range(6)}
    for number in range(6):
        name = f"image{number}.png"
        classes, objects, reused = (
            _picture(out / "pictures" / kind / name) for kind in ("multiclass", "binary", "reuse")
        )
        assert np.array_equal(reused, np.where(objects == 0, 0, classes))
        assert set(np.unique(objects)) <= {0, 1}
    for kind in ("multiclass", "binary", "reuse"):
        assert {path.name for path in (out / "pictures" / kind).iterdir()} == names


def test_measures_are_those_of_the_pictures(made):
    found = json.loads((made / "out" / "results.json").read_text())["pooled"]
    assert list(found) == ["multiclass", "binary", "reuse"]
    for kind, one in found.items():
        pictures = sorted((made / "out" / "pictures" / kind).glob("*.png"))
        seen = np.stack([_picture(path) for path in pictures])
        truth = np.stack([cv2.imread(str(made / "data/labels" / p.name), -1) for p in pictures])
        truth = truth > 0 if kind == "binary" else truth
        number = 1 if kind == "binary" else 2
        same = ((seen == number) & (truth == number)).sum()
        name = "object" if kind == "binary" else "class 2"
        both = (seen == number).sum() + (truth == number).sum()
        assert one[f"dice.{name}"] == pytest.approx(2 * same / both)
        assert one["accuracy"] == pytest.approx((seen == truth).mean())


def test_the_same_command_resumes_and_prints_the_same(made, here, capsys):
    weights = {path: path.stat().st_mtime_ns for path in made.glob("out/*/fold*/last.pt")}
    (made / "out" / "results.json").unlink()
    reuse(here, out=made / "out")
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    shown = capsys.readouterr().out
    for words in ("multiclass:", "binary:", "reuse:", "class 2", "object"):
        assert words in shown
    assert "| prediction | Dice | mIoU | mean precision | mean recall |" in shown
    found = json.loads((made / "out" / "results.json").read_text())["pooled"]
    assert f"| reuse | {found['reuse']['dice']:.3f} | {found['reuse']['iou']:.3f} |" in shown


def test_a_stopped_run_resumes_in_its_dated_folder_and_a_finished_one_stays(
    here, tmp_path, monkeypatch
):
    def stopped(*_):
        raise SystemExit

    few = ["set.train.steps=1"]
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(verb, "predict", stopped)
        reuse(here, few, fold="0")
    (first,) = (tmp_path / "reuse" / "tiny").iterdir()
    assert not (first / "results.json").exists()
    reuse(here, few, fold="0")
    assert [*(tmp_path / "reuse" / "tiny").iterdir()] == [first]
    assert len(list((first / "pictures" / "reuse").iterdir())) == 3
    other = first.with_name("2000-01-01_00-00-00")
    settings = verb.read_two_stage(here, few)
    assert verb._dated(first.parent, settings) not in (first, other)
    (first / "results.json").unlink()
    assert verb._dated(first.parent, settings) == first
    assert verb._dated(first.parent, verb.read_two_stage(here, ["set.seed=4"])) != first


def test_one_stage_alone_and_trained_runs_that_are_taken(made, here, tmp_path, capsys):
    reuse(here, ["stages=[binary]", "predict=false"], fold="1", out=tmp_path / "alone")
    assert {path.name for path in (tmp_path / "alone").iterdir()} == {
        *("reuse.yaml", "results.json", "binary")
    }
    taken = [f"multiclass.run={made / 'out' / 'multiclass'}", "binary.set={}"]
    taken.append(f"binary.run={made / 'out' / 'binary'}")
    reuse(here, taken, out=tmp_path / "taken")
    folders = (made / "out", tmp_path / "taken")
    results = [json.loads((folder / "results.json").read_text()) for folder in folders]
    assert results[0] == results[1] and not (tmp_path / "taken" / "multiclass").exists()
    reuse(here, [*taken, "combine=false"], out=tmp_path / "apart")
    assert not (tmp_path / "apart" / "pictures" / "reuse").exists()
    assert "reuse:" not in capsys.readouterr().out.rpartition("multiclass:")[2]


def test_score_lays_the_same_background(made, tmp_path):
    places = [made / "out" / stage for stage in ("multiclass", "binary")]
    score(places[0], background=places[1], json=tmp_path / "s.json")
    found = json.loads((tmp_path / "s.json").read_text())["pooled"]
    assert found == json.loads((made / "out" / "results.json").read_text())["pooled"]["reuse"]
    with pytest.raises(ValueError, match="--background is for a run or a blend, .*x.csv holds"):
        score(tmp_path / "x.csv", truth=tmp_path, slices=tmp_path, background=places[1])


@pytest.mark.parametrize(
    ("overrides", "fold", "message"),
    [
        (["binary.set.data.fold_seed=7"], "all", "the two networks hold out different images"),
        (["binary.set.loss={name: ce, params: {class_weights: [1, 2, 3]}}"], "0", "binary: loss"),
        (["multiclass.run=gone"], "0", "gone is not a run folder: it has no fold"),
        ([], "5", "--fold 5: expected all or some of 0, 1"),
        (["set.data.folder=gone"], "0", "gone"),
    ],
)
def test_what_cannot_be_combined_is_refused_before_any_training(
    here, tmp_path, overrides, fold, message
):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        reuse(here, overrides, fold=fold)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_only_its_own_folder_is_written_into(here, tmp_path):
    (tmp_path / "dear").mkdir()
    (tmp_path / "dear" / "notes.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="dear holds notes.txt and nothing that this command"):
        reuse(here, out=tmp_path / "dear")
    assert [path.name for path in (tmp_path / "dear").iterdir()] == ["notes.txt"]


def test_a_picture_of_somebody_else_stays(made, here):
    foreign = made / "out" / "pictures" / "reuse" / "notes.txt"
    foreign.write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds notes.txt, which this command did not"):
        reuse(here, out=made / "out")
    foreign.unlink()


def test_organs_are_one_class_where_the_competition_is_binary(cache):
    inputs = Inputs(Stack(), Scaling(), Geometry())
    data, plain = (read("competition", cache, inputs, {"binary": one}) for one in (True, False))
    assert data.classes == BINARY and not data.has_volumes and plain.classes == CLASSES
    name = data.index["scan"].iloc[0]
    scan, z = data.scan(name), np.arange(data.scan(name).shape[0])
    assert np.array_equal(data.truth(scan, z)[0], plain.truth(scan, z).any(axis=0))
    rows = data.index[data.index["scan"] == name]
    assert np.array_equal(rows["organ"], data.truth(scan, z)[0].any(axis=(1, 2)))
    assert np.array_equal(data.shows_object(rows), plain.shows_object(rows))


@pytest.fixture(scope="module")
def gate(trained):
    """A binary run of the competition, on the folds of the `trained` one."""
    changes = ["name=gate", "data.params.binary=true", "train.monitor=pooled.iou"]
    train(
        trained.config, [*trained.overrides, *changes, "train.epochs=1", "train.steps_per_epoch=15"]
    )
    predict(trained.run.parent / "gate")
    return trained.run.parent / "gate"


def test_organs_are_blended_where_a_binary_run_sees_one(trained, gate, tmp_path, capsys):
    blend([trained.run], tmp_path / "b", trials=3, background=gate)
    path = tmp_path / "b" / "blend.yaml"
    solved = load_blend(path)
    assert (path.parent / solved.background.run).resolve() == gate.resolve()
    assert solved.background.folds == [0, 1]
    score(path, json=tmp_path / "s.json")
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["score"] == pytest.approx(solved.score, abs=1e-9)
    (member,) = blends.over_background([runs.predictions(trained.run)], gate)
    other, name = runs.predictions(gate), member.scans[0]
    shape = member.data.scan(name).shape
    laid, said = member.load(name, shape)[0], other.load(name, shape)[0]
    plain = runs.predictions(trained.run).load(name, shape)[0]
    assert np.array_equal(laid, np.where(said >= 128, plain, 0)) and (laid != plain).any()
    results = blends.out_of_fold(trained.run, METRICS["default"], background=gate).results["all"]
    assert {one.scan for one in results} == {*member.scans}


def test_a_blend_with_a_background_is_submitted_and_packed(trained, gate, tmp_path):
    blend([trained.run], tmp_path / "b", trials=2, background=gate)
    path = tmp_path / "b" / "blend.yaml"
    ensemble = runs.ensemble(path)
    assert len(ensemble.background) == len(ensemble.predictors) == 2
    submit(path, trained.raw, tmp_path / "s.csv", debug_scans=1)
    assert (tmp_path / "s.csv").read_text().startswith("id,class,predicted")
    build_bundle(path, tmp_path / "kaggle", "u", wheels=False)
    packed = runs.ensemble(tmp_path / "kaggle" / "bundle" / "blend.yaml")
    assert len(packed.background) == 2
    solved = load_blend(tmp_path / "kaggle" / "bundle" / "blend.yaml")
    assert str(solved.background.run) == "runs/1-gate"


def test_a_binary_run_is_no_member_of_a_blend(trained, gate, tmp_path):
    with pytest.raises(ValueError, match="predicts large_bowel, .* and .*gate organ; blend runs"):
        blend([trained.run, gate], tmp_path / "b", trials=1)
    text = f"members: [{{run: {gate}, folds: [0]}}]\n"
    (tmp_path / "blend.yaml").write_text(text)
    with pytest.raises(ValueError, match="predicts organ; members of a blend .* as its background"):
        runs.ensemble(tmp_path / "blend.yaml")
