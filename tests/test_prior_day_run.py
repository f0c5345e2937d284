"""Networks that see an earlier day through the verbs: what they are shown, and what is refused."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from gutseg import blends, experiment, runs
from gutseg.blend import blend
from gutseg.config import Blend, Config, dump, load
from gutseg.config.blend import Member
from gutseg.config.sections import Predict
from gutseg.constants import CLASSES
from gutseg.data.inputs import Geometry, Inputs, Scaling, Stack
from gutseg.data.sources.competition import Competition
from gutseg.export import export
from gutseg.inference import made_with
from gutseg.inference.predictor import Predictor
from gutseg.masks.rle_reading import decode
from gutseg.metrics.competition import METRICS
from gutseg.models.input_norm import InputNorm, Seen
from gutseg.predict import predict
from gutseg.score import score
from gutseg.submit import submit
from gutseg.train import train

LATER = "case1_day5"
TINY = """
geometry: {kind: pad, size: [48, 64]}
stack: {slices: 1}
prior_day: {share_dropped: 0.5}
model: {name: unet, params: {widths: [4, 8], norm: batch}}
loss: {name: bce_dice, params: {dice_weight: 2.0}}
optim: {lr: 2e-2}
train: {steps: 30, batch_size: 4, monitor: null, tensorboard: false}
"""


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A run of the fold that holds case1 out, predicted with the earlier day."""
    folder = tmp_path_factory.mktemp("prior")
    config = folder / "prior.yaml"
    config.write_text(f"runs: {folder / 'runs'}\n{TINY}")
    places = [f"data.folder={trained.cache}", f"data.folds={trained.folds}"]
    folds = pd.read_csv(trained.folds).set_index("case")["fold"]
    train(config, places, fold=str(folds[1]), jobs=1)
    predict(folder / "runs" / "prior")
    return folder / "runs" / "prior"


def _fold(run):
    return next(run.glob("fold*"))


def _probabilities(run):
    return {
        path.stem: np.load(path)["probabilities"] for path in (_fold(run) / "oof").glob("*.npz")
    }


def test_an_earlier_day_is_given_or_withheld_and_the_score_says_which(run, tmp_path, capsys):
    given, note = _probabilities(run), made_with.read(_fold(run) / "oof")
    assert note.prior == "given"
    assert [name for name, facts in note.scans.items() if "earlier" in facts] == [LATER]
    assert note.scans[LATER]["earlier"].startswith("case1_day0 ")
    score(run, json=tmp_path / "given.json")
    said = capsys.readouterr().out
    assert "first days" in said and "later days" in said
    assert "prior_day: later days were predicted with the image and the contours" in said
    predict(run, prior="withheld")
    withheld, note = _probabilities(run), made_with.read(_fold(run) / "oof")
    assert note.prior == "withheld" and "earlier" not in note.scans[LATER]
    assert withheld.keys() == given.keys()
    for name, found in withheld.items():
        assert np.array_equal(found, given[name]) == (name != LATER), name
    capsys.readouterr()
    score(run, json=tmp_path / "withheld.json")
    assert "prior_day: no earlier day was given: every patient was" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was predicted with --prior withheld, but submit shows"):
        blend([run], tmp_path / "blend", trials=1)
    both = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("given", "withheld")]
    first, later = (
        [one["per_visit"][f"{kind} days"] for one in both] for kind in ("first", "later")
    )
    assert first[0] == first[1] and later[0] != later[1]
    predict(run)  # as the other tests find it
    assert np.array_equal(_probabilities(run)[LATER], given[LATER])


def test_another_earlier_day_makes_predictions_out_of_date(run):
    fold = runs.open_fold(_fold(run))
    before = fold.made_with("none")
    fold.data.days._before[LATER] = None
    assert before.changes(fold.made_with("none")) == [f"1 scan ({LATER}) of the cache"]
    assert before.changes(fold.made_with("none", "withheld"))[0] == "--prior"
    assert not before.holds_for(LATER, fold.made_with("none"))


def test_a_blend_may_join_networks_with_and_without_it(run, trained, tmp_path):
    held = int(_fold(run).name.removeprefix("fold"))
    members = [Member(run=path, folds=[held]) for path in (run, trained.run)]
    dump(Blend(members=members), tmp_path / "blend.yaml")
    found = blends.out_of_fold(tmp_path / "blend.yaml", METRICS["default"])
    assert found.prior == "given" and len(found.results["all"]) == len(_probabilities(run))


def test_a_submission_sees_the_labelled_days_of_the_patients_it_is_given(
    run, trained, tmp_path, caplog
):
    """As out of fold with the day and without: only the hidden test lies in the folder."""
    images = tmp_path / "hidden"
    shutil.copytree(trained.raw / "train/case1" / LATER, images / "test/case1" / LATER)
    shape = np.load(_fold(run) / "oof" / f"{LATER}.npz")["probabilities"].shape
    rows = [f"{LATER}_slice_{z + 1:04d},{organ}," for z in range(shape[1]) for organ in CLASSES]
    (images / "sample_submission.csv").write_text("\n".join(["id,class,predicted", *rows, ""]))
    held = int(_fold(run).name.removeprefix("fold"))
    dump(Blend(members=[Member(run=run, folds=[held])]), tmp_path / "blend.yaml")
    expected = {"given": _probabilities(run)[LATER]}
    fold = runs.open_fold(_fold(run))
    alone = runs.predictor(fold, prior="withheld", device=torch.device("cpu"))
    expected["withheld"] = alone(fold.data.scan(LATER))
    for kind, prior in (("given", trained.raw), ("withheld", None)):
        submit(tmp_path / "blend.yaml", images, tmp_path / f"{kind}.csv", prior=prior, gpus=0)
        texts = pd.read_csv(tmp_path / f"{kind}.csv", keep_default_na=False)["predicted"]
        found = np.array([decode(text, *shape[2:]) for text in texts]).reshape(
            shape[1], len(CLASSES), *shape[2:]
        )
        np.testing.assert_array_equal(found.swapaxes(0, 1), expected[kind] >= 128)
    assert "hidden has no train.csv, so that all patients are new" in caplog.text
    assert not np.array_equal(expected["given"] >= 128, expected["withheld"] >= 128)


def test_a_submission_hides_the_days_that_the_training_left_out(run, trained, tmp_path):
    """The only earlier day is on the blacklist: the same network draws other masks."""
    other = tmp_path / "left"
    shutil.copytree(run, other)
    settings = next(other.glob("fold*")) / "config.yaml"
    changed = load(settings).data.model_copy(update={"params": {"blacklist": ["case1_day0"]}})
    dump(load(settings).model_copy(update={"data": changed}), settings)
    held = int(_fold(run).name.removeprefix("fold"))
    texts = {}
    for name, path in (("kept", run), ("left", other)):
        dump(Blend(members=[Member(run=path, folds=[held])]), tmp_path / f"{name}.yaml")
        submit(tmp_path / f"{name}.yaml", trained.raw, tmp_path / f"{name}.csv", gpus=0)
        rows = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False)
        texts[name] = rows[rows["id"].str.startswith(LATER)]["predicted"].tolist()
    assert len(texts["kept"]) and texts["kept"] != texts["left"]


def test_what_knows_no_earlier_day_says_so(run, trained, tmp_path):
    with pytest.raises(ValueError, match="--prior given: .*fold0 was trained without prior_day"):
        predict(trained.run, prior="given")
    with pytest.raises(ValueError, match="no network of .*blend.yaml has prior_day; leave it out"):
        submit(trained.blend, trained.raw, tmp_path / "out.csv", prior=trained.raw)
    with pytest.raises(ValueError, match="also sees an earlier day .* train one without prior_day"):
        export(run, out=tmp_path / "exports")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": {"source": "isbi"}}, "prior_day: isbi knows no days of a patient; leave it out"),
        ({"view": "coronal"}, "prior_day: the coronal view shows no earlier day; leave it out"),
        (
            {"model": {"name": "dynunet", "params": {"dims": 3}}, "volume": {}},
            "prior_day: a network of volumes takes grey values alone; leave it out",
        ),
        ({"train": {"batch_size": 10**4}}, "10000 images of 9 x 320 x 384 take 41 GB"),
    ],
)
def test_what_has_no_days_or_channels_refuses_them(given, message):
    with pytest.raises(ValueError, match=message):
        Config(name="x", prior_day={}, **given)


def test_folds_that_divide_a_patient_are_refused(trained, tmp_path):
    """Its held-out contours would be an input of the training."""
    index = Competition(trained.cache, experiment.inputs(load(trained.config))).index
    fold = (index["scan"] == LATER).astype(int)
    pd.DataFrame({"id": index["id"], "fold": fold}).to_csv(tmp_path / "days.csv", index=False)
    config = load(trained.config, [f"data.folder={trained.cache}", "prior_day={}"])
    config = config.model_copy(
        update={"data": config.data.model_copy(update={"folds": tmp_path / "days.csv"})}
    )
    data = experiment.source(config)
    with pytest.raises(ValueError, match="needs all days of a patient, .* those of case1 between"):
        experiment.rows(config, data)


class _Shown(torch.nn.Module):
    """Says what the masks of the earlier day are."""

    def forward(self, images):
        return (images[:, -3:] - 0.5) * 100


def test_flips_at_test_time_turn_the_earlier_day_with_the_image(cache):
    geometry = Geometry(kind="pad", size=(48, 64))
    seen = Inputs(Stack(slices=1), Scaling(), geometry, prior="given")
    scan = Competition(cache, seen).scan(LATER)
    network = Predictor(_Shown(), seen, Predict(tta="flips"), device=torch.device("cpu"))
    labels = scan.prior.planes(np.arange(8))[1]
    expected = [255 * (labels >> bit & 1) for bit in range(3)]
    np.testing.assert_array_equal(network(scan), expected)


def test_a_pretrained_mean_is_subtracted_from_images_and_not_from_masks():
    norm = InputNorm(9, Seen((0.1, 0.2, 0.6), (0.5, 0.25, 0.15)), masks=3)
    found = norm(torch.full((1, 9, 1, 1), 0.6)).flatten()
    torch.testing.assert_close(found, torch.tensor([1.0] * 6 + [0.6] * 3))
    params = {"name": "smp", "params": {"encoder": "resnet18"}, "input_norm": "on"}
    config = Config(name="x", model=params, prior_day={})
    built = experiment.network(config, experiment.inputs(config).channels, 3)
    assert (built.input_norm.mean != 0).tolist() == [True] * 6 + [False] * 3
