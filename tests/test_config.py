from pathlib import Path

import pytest

from gutseg import experiment
from gutseg.config import dump, load, load_blend
from gutseg.config.plain_yaml import parse

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("peers/*.yaml")])


@pytest.fixture
def path(tmp_path):
    (tmp_path / "x.yaml").write_text("train: {epochs: 3}\noptim: {lr: 3e-4}\n")
    return tmp_path / "x.yaml"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_config_loads_and_builds(path):
    config = load(path)
    assert path.read_text().startswith("# "), "a config opens with what it is for"
    network = experiment.model(config, experiment.inputs(config).channels, 3)
    assert sum(weights.numel() for weights in network.parameters()) > 10_000
    experiment.criterion(config)
    experiment.inputs(config)


def test_numbers_as_people_write_them():
    assert parse("[3e-4, 1E5, .5, 1e-3, 7, 1.0e+2, no, 2e]") == [
        *(3e-4, 1e5, 0.5, 1e-3, 7, 100.0, False, "2e")
    ]
    assert isinstance(parse("7"), int)


def test_overrides_win_and_the_file_name_is_the_default_name(path):
    config = load(path, ["train.batch_size=4", "geometry.size=[64, 96]", "model.name=unet4"])
    assert (config.name, config.train.epochs, config.train.batch_size) == ("x", 3, 4)
    assert config.optim.lr == 3e-4 and config.geometry.size == (64, 96)
    assert config.model.name == "unet4"


def test_the_resolved_file_spells_every_default_out(path, tmp_path):
    config = load(path)
    dump(config, tmp_path / "resolved.yaml")
    text = (tmp_path / "resolved.yaml").read_text()
    assert "dice_weight: 0.5" in text and "patience: null" in text
    assert load(tmp_path / "resolved.yaml") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "train.epoch: unknown key; did you mean 'epochs'"),
        ("trian.epochs=3", "trian: unknown key; did you mean 'train'"),
        ("train.epochs=x", "train.epochs: .*valid integer.*found 'x'"),
        ("train.epochs=0", "train.epochs: .*greater than or equal to 1, found 0"),
        ("stack.slices=4", "stack.slices: .*1, 3, 5 or 7, found 4"),
        ("model.name=hybird4", "model: unknown name 'hybird4'; did you mean 'hybrid4'"),
        ("model.params={width: 3}", "model.params: 'hybrid4' has no parameter 'width'"),
        ("loss.params={dice_weight: a}", "loss.params.dice_weight: .*valid number.*'a'"),
        ("model.dropout=0.1", "model.dropout: 'hybrid4' has it as model.params.dropout"),
        (
            "model={name: hybrid_unet, attention: {local_levels: [1]}}",
            "model.attention: 'hybrid_unet' has it as model.params.local_levels",
        ),
        ("model.presence={gate: always}", "presence.gate: .*'off', 'multiply' or 'threshold'"),
        ("model.presence.thresh=0.1", "presence.thresh: unknown key; did you mean 'threshold'"),
        ("augment.params={shift: 1}", "augment.name: Field required"),
        ("loss={name: bce_dice, params: {absent: no}}", "loss.params.absent: .*'skip'"),
        ("loss={name: ce}", "loss: 'ce' needs classes that exclude each other.* bce, "),
        (
            "loss={name: dice, class_weights: invers}",
            "loss.class_weights: unknown name 'invers'; did you mean 'inverse'",
        ),
        ("loss={name: d_bce, class_weights: inverse}", "'d_bce' does not weight classes"),
        (
            "loss={name: boundary_aware, maps: {band: {width: x}}}",
            "loss.maps.params.width: .*valid integer.*'x'",
        ),
        ("loss={name: dice, maps: {bund: {}}}", "loss.maps: unknown name 'bund'.*'band'"),
        ("augment.name=nope", "augment: unknown name 'nope'"),
        ("data.params.blacklist=[third]", "'third' is neither a scan .* did you mean 'third5'"),
        ("data.cache=c", "data.cache: unknown key; it is called folder now"),
        ("optim.final_lr=0.1", "optim.final_lr: unknown key; it is called final_lr_ratio now"),
        ("epochs", "'epochs' is not of the form key=value"),
        ("name.first=x", "name.first: name is 'x', not a section"),
    ],
)
def test_mistakes_name_the_key_and_the_choices(path, override, message):
    if override.startswith("name"):
        path.write_text("name: x\n")
    with pytest.raises(ValueError, match=message):
        load(path, [override])


def test_files_that_are_no_configs(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone.yaml does not exist"):
        load(tmp_path / "gone.yaml")
    (tmp_path / "x.yaml").write_text("a: [1")
    with pytest.raises(ValueError, match="not valid YAML"):
        load(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("just words")
    with pytest.raises(ValueError, match="holds no `key: value` lines"):
        load(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("settings", "found"),
    [("", (40, None, None)), ("steps: 7", (None, 7, None)), ("seconds: 2.5", (None, None, 2.5))],
)
def test_one_budget_and_forty_epochs_by_default(tmp_path, settings, found):
    (tmp_path / "x.yaml").write_text(f"train: {{{settings}}}\n")
    train = load(tmp_path / "x.yaml").train
    assert (train.epochs, train.steps, train.seconds) == found


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=", "train: epochs, steps, seconds: all are null; give one of them"),
        ("train.steps=3", "train: epochs 3 and steps 3 are given; give exactly one"),
        ("data.source=nuclei", "data: unknown name 'nuclei'; .*choices: competition, "),
        ("data.folds=1", "data.folds: 1 folds; expected 2 to 1000"),
        ("data.folds=true", "data.folds: found True, expected a fold file or a number"),
        ("scaling={low: 60, high: 50}", "scaling: low = 60, high = 50; expected low < high"),
        ("crop.size=[4, 32]", "crop.size.0: .*greater than or equal to 8"),
        ("channels=[]", "channels: .*at least 1 item"),
    ],
)
def test_the_newer_keys_are_checked(path, override, message):
    with pytest.raises(ValueError, match=message):
        load(path, [override])


def test_folds_are_a_file_or_a_number(path):
    config = load(path, ["data.folds=3", "crop={}"])
    assert config.data.folds == 3 and config.crop.size == (128, 128)
    assert load(path, ["data.folds=f.csv"]).data.folds == Path("f.csv")


def test_a_faulty_blend_is_named(tmp_path):
    (tmp_path / "b.yaml").write_text("members: [{run: a, folds: [0], wieght: 2}]\n")
    with pytest.raises(ValueError, match="members.0.wieght: unknown key; did you mean 'weight'"):
        load_blend(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").write_text("members: []\n")
    with pytest.raises(ValueError, match="members: .*at least 1 item"):
        load_blend(tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("{run: a, folds: [1, 0, 1]}", "members.0.folds: fold 1 is listed twice"),
        ("{run: a, folds: [-1]}", "members.0.folds.0: found -1, expected the number of a fold"),
        ("{run: a, folds: [0], weight: .inf}", "members.0.weight: .*finite number, found inf"),
        ("{run: a, folds: [0], weight: .nan}", "members.0.weight: .*found nan"),
        ("{run: a, folds: [0], weight: 0}", "members.0.weight: .*greater than 0"),
        ("{run: a, folds: [0]}, {run: b/../a, folds: [1]}", "members: run a is listed twice"),
    ],
)
def test_members_of_a_blend_are_listed_once_with_finite_weights(tmp_path, members, message):
    (tmp_path / "b.yaml").write_text(f"members: [{members}]\n")
    with pytest.raises(ValueError, match=f"b.yaml: {message}"):
        load_blend(tmp_path / "b.yaml")


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
@pytest.mark.parametrize("key", ["optim.lr", "optim.warmup_epochs", "optim.power", "scaling.low"])
def test_numbers_are_finite(path, key, number):
    with pytest.raises(ValueError, match=f"{key}: Input should be a finite number"):
        load(path, [f"{key}={number}"])


@pytest.mark.parametrize("key", ["optim.lr", "optim.weight_decay"])
def test_numbers_that_float32_does_not_hold_are_refused(path, key):
    with pytest.raises(ValueError, match=f"{key}: Input should be less than or equal to 1000000"):
        load(path, [f"{key}=1e39"])


def test_channels_that_a_stack_does_not_have(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("stack: {slices: 3}\nchannels: [0, 3]\n")
    with pytest.raises(ValueError, match="channels: 3; a stack of 3 slices has 0 to 2"):
        load(path)
    assert load(path, ["stack.slices=5"]).channels == [0, 3]
    isbi = ["data.source=isbi", "channels=[9]"]
    assert load(path, isbi).channels == [9]  # known when the images are
