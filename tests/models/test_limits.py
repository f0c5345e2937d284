"""Parameters of a network that would run code, read files, ask the network or fill the memory."""

import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gutseg import experiment as building
from gutseg import models
from gutseg.config import Config, load, validate
from gutseg.engine import checkpoint
from gutseg.models import limits
from gutseg.models.unet import UNet
from gutseg.runs import ensemble

ATTO = {"encoder": "tu-convnext_atto"}


class _Code:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A pickle, and the file that appears once anything has unpickled it."""
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(_Code(tmp_path / "it ran")))
    yield tmp_path / "trap.pth"
    assert not (tmp_path / "it ran").exists()


LOADING = {
    "checkpoint_path": {"checkpoint_path": "trap.pth"},
    "in capitals": {"Checkpoint_Path": "trap.pth"},
    "pretrained": {"pretrained": True},
    "pretrained, off": {"pretrained": False},
    "pretrained_cfg": {"pretrained_cfg": {"hf_hub_id": "somebody/net"}},
    "pretrained_cfg, inside": {"pretrained_cfg": {"file": "trap.pth"}},
    "pretrained_cfg_overlay": {"pretrained_cfg_overlay": {"url": "https://example.org/x.pth"}},
    "pretrained_strict": {"pretrained_strict": False},
    "cache_dir": {"cache_dir": "elsewhere"},
    "weights": {"weights": "imagenet"},
    "encoder_weights": {"encoder_weights": "imagenet"},
    "deep": {"block_args": [{"a": [{"checkpoint_path": "x"}]}]},
    "hf-hub": {"features": "hf-hub:somebody/net"},
    "hf_hub": {"features": ["hf_hub:somebody/net"]},
    "local-dir": {"features": {"a": "local-dir:trap"}},
    "path": {"act_layer": "../trap.pth"},
    "address": {"act_layer": "https://example.org"},
    "Windows path": {"act_layer": "a\\b"},
}


@pytest.mark.parametrize("key", ["options", "encoder_options"])
@pytest.mark.parametrize("case", LOADING)
def test_options_that_load_are_refused_by_the_config_and_by_the_builder(trap, key, case):
    params = ATTO | {key: LOADING[case]}
    message = f"model.params.{key}: .* (loads a file or asks the network|is a path, an address)"
    with pytest.raises(ValueError, match=message):
        validate(Config, {"name": "x", "model": {"name": "smp", "params": params}}, "x.yaml")
    with pytest.raises(ValueError, match=message):
        models.build("smp", 3, 3, **params)


@pytest.mark.parametrize(
    "name",
    ["tu-hf-hub:a/b", "tu-hf_hub:a/b", "tu-local-dir:/tmp", "tu-timm/resnet18", "hf-hub:a/b"],
)
def test_an_encoder_is_a_name_of_the_library(name):
    content = {"name": "x", "model": {"name": "smp", "params": {"encoder": name}}}
    with pytest.raises(ValueError, match="model.params.encoder: .* a name on a hub"):
        validate(Config, content, "x.yaml")


def _blend_of(fold: Path) -> Path:
    """A blend of one fold, as the kernel opens it."""
    path = fold.parent / "blend.yaml"
    path.write_text("members: [{run: ., folds: [0]}]\n")
    return path


def test_a_config_of_somebody_elses_run_takes_the_same_path(trap):
    folder = trap.parent / "fold0"
    folder.mkdir()
    options = f"{{encoder: tu-resnet18, encoder_options: {{checkpoint_path: {trap}}}}}"
    (folder / "config.yaml").write_text(f"name: x\nmodel: {{name: smp, params: {options}}}\n")
    with pytest.raises(ValueError, match="'checkpoint_path' loads a file or asks the network"):
        ensemble(_blend_of(folder))


@pytest.mark.parametrize("name", ["trap.pth", "trap.safetensors", "trap.bin"])
def test_an_encoder_file_is_never_unpickled(trap, name):
    path = trap.rename(trap.with_name(name))
    with pytest.raises(ValueError, match=name):
        building.model(_file(path), 5, 3)


def test_options_that_are_options_stay_allowed():
    network = models.build(
        "smp", 5, 3, **ATTO, encoder_options={"drop_path_rate": 0.1}, options={"encoder_depth": 3}
        | {"decoder_channels": [64, 32, 16], "decoder_attention_type": "scse"},
    )  # fmt: skip
    assert network.eval()(torch.zeros(1, 5, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"encoder_options": {"drop_path": 0.1}}, "unexpected keyword argument 'drop_path'"),
        (
            {"encoder_options": {"in_chans": 7}},
            "Unet on 'tu-convnext_atto': .*in_chans.* already specified",
        ),
        ({"encoder_options": {"classes": 7}}, "'classes' belongs to Unet, .*the pipeline"),
        (
            {"encoder_options": {"decoder_channels": [8]}},
            "belongs to Unet, .*write it under options",
        ),
        ({"encoder_options": {"act_layer": {"a": 1}}}, "model 'smp' cannot be built with"),
        ({"encoder_options": {"dims": []}}, "model 'smp' cannot be built with"),
        ({"options": {"encoder_depth": 99}}, "Unet on 'tu-convnext_atto': .*depth|encoder_depth"),
        ({"options": {"decoder_channels": "many"}}, "model 'smp' cannot be built with|decoder"),
        ({"options": {"decoder_channels": [8, "x", 8, 8, 8]}}, "model 'smp' cannot be built"),
        ({"options": {"decoder_channels": [10**6] * 5}}, "params.options: 1000000 is beyond 4096"),
        ({"encoder_options": {"img_size": 4000}}, "img_size is 4000; at most 1024"),
        ({"encoder": "tu-resnet18.no_such_tag"}, "model 'smp' cannot be built|unknown|tag"),
    ],
)
def test_a_library_that_raises_anything_is_answered_in_one_sentence(params, message):
    with pytest.raises(ValueError, match=message) as error:
        models.build("smp", 3, 3, **(ATTO | params))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("unet", {"widths": [8, 10**6]}, "model.params.widths.1: .*less than or equal to 4096"),
        ("unet", {"widths": [8] * 40}, "model.params.widths: .*at most 10 items"),
        ("unet", {"widths": [8]}, "model.params.widths: .*at least 2 items"),
        ("unet", {"widths": [8, True]}, "model.params.widths.1: .*valid integer, found True"),
        ("unet", {"widths": [8, 8.5]}, "model.params.widths.1: .*valid integer, found 8.5"),
        ("unet", {"dropout": 1.5}, "model.params.dropout: .*less than or equal to 1"),
        ("hybrid_unet", {"window": 10**9}, "model.params.window: .*less than or equal to 64"),
        ("hybrid_unet", {"local_heads": 0}, "model.params.local_heads: .*greater than or equal"),
    ],
)
def test_sizes_of_our_own_networks_have_bounds(name, params, message):
    content = {"name": "x", "model": {"name": name, "params": params}}
    with pytest.raises(ValueError, match=message):
        validate(Config, content, "x.yaml")


@pytest.mark.parametrize(
    ("name", "params"),
    [("unet", {"widths": [64, 4096, 4096]}), ("smp", {"encoder": "tu-convnext_large"})],
)
def test_a_network_beyond_the_memory_is_refused_before_it_is_built(monkeypatch, name, params):
    monkeypatch.setattr(limits, "_memory", lambda: 2**30)
    with pytest.raises(ValueError, match=r"the network has \d+ million .* this machine has 1 GB"):
        models.build(name, 3, 3, **params)


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    assert 2**28 < limits._memory() < 2**50
    monkeypatch.setattr(limits, "CGROUP", tmp_path / "memory.max")
    for text, expected in (("max\n", limits._memory()), ("1000000\n", 1_000_000)):
        (tmp_path / "memory.max").write_text(text)
        assert limits._memory() == expected


def test_counting_parameters_leaves_the_random_numbers_alone():
    """Else every network would start from other weights than before this check."""
    torch.manual_seed(0)
    expected = UNet(3, 3, widths=(8, 16)).head.weight
    torch.manual_seed(0)
    assert torch.equal(models.build("unet", 3, 3, widths=[8, 16]).head.weight, expected)


@pytest.fixture
def no_downloads(monkeypatch):
    """Every way to published weights raises."""
    import huggingface_hub
    import segmentation_models_pytorch.encoders as smp_encoders
    import timm.models._builder as timm_builder

    def refuse(*args, **kwargs):
        raise AssertionError("published weights were asked for")

    for module, name in (
        *((huggingface_hub, name) for name in ("hf_hub_download", "snapshot_download")),
        (huggingface_hub.file_download, "hf_hub_download"),
        (torch.hub, "load_state_dict_from_url"),
        (torch.hub, "download_url_to_file"),
        (timm_builder, "load_pretrained"),
        *((smp_encoders, name) for name in ("hf_hub_download", "load_file")
          if hasattr(smp_encoders, name)),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)


@pytest.mark.parametrize("encoder", ["tu-convnext_atto", "resnet18"])
def test_prediction_never_asks_for_published_weights(tmp_path, no_downloads, encoder):
    """As a run that was trained with a download, opened in the offline kernel."""
    params = f"{{encoder: {encoder}, encoder_weights: imagenet}}"
    gone = tmp_path / "gone.pth"
    text = f"name: x\nmodel: {{name: smp, encoder_weights: {gone}, params: {params}}}\n"
    fold = tmp_path / "fold0"
    fold.mkdir()
    (fold / "config.yaml").write_text(text)
    config = load(fold / "config.yaml")
    torch.manual_seed(1)
    trained = building.network(config, config.stack.slices, 3)
    checkpoint.save(fold / "best.pt", {"model": trained.state_dict()})
    (found,) = ensemble(_blend_of(fold)).predictors
    assert found.name == str(fold)
    with pytest.raises(ValueError, match="could not be fetched .published weights were asked for"):
        building.network(config, 5, 3, published=True)


@pytest.fixture(scope="module")
def network():
    """A network with an encoder to fill; tests that fill it nevertheless leave it finite."""
    return models.build("smp", 3, 1, encoder="resnet18")


def _file(path: Path) -> Config:
    """A config that takes its encoder's weights from a file."""
    return Config(name="x", model={"name": "smp", "params": ATTO, "encoder_weights": path})


def _safetensors(header: bytes, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header


BROKEN_SAFETENSORS = {
    "empty": b"",
    "text": b"hello world, this is not it",
    "huge header": _safetensors(b"{}", 2**62),
    "no JSON": _safetensors(b"{{{{"),
    "deep JSON": _safetensors(b'{"a":' + b"[" * 5000),
    "unknown type": _safetensors(b'{"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}}') + b"0",
    "offsets beyond": _safetensors(b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'),
    "offsets of another shape": _safetensors(
        b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,4]}}'
    )
    + b"0000",
}


@pytest.mark.parametrize("case", BROKEN_SAFETENSORS)
@pytest.mark.parametrize("name", ["w.safetensors", "W.SAFETENSORS"])
def test_a_broken_safetensors_is_named(tmp_path, case, name):
    (tmp_path / name).write_bytes(BROKEN_SAFETENSORS[case])
    with pytest.raises(ValueError, match=f"{name} is not a readable safetensors .*; give an enc"):
        building.model(_file(tmp_path / name), 5, 3)


BROKEN_STATES = {
    "a list": ([1, 2], "a list was found; expected tensors by name"),
    "a tensor": (torch.zeros(3), "a Tensor was found; expected tensors by name"),
    "nested": ({"state_dict": {"a": torch.zeros(1)}}, "'state_dict' is a dict; expected tensors"),
    "numbers": ({"epoch": 3}, "'epoch' is a int; expected tensors by name: save the state dict"),
    "keys": ({3: torch.zeros(1)}, "3 is a Tensor; expected tensors by name"),
    "empty": ({}, "missing"),
    "another's": ({"a": torch.zeros(1)}, "the weights do not fit this encoder"),
    "None": (None, "a NoneType was found"),
}


@pytest.mark.parametrize("case", BROKEN_STATES)
def test_a_state_that_is_none_is_named(network, case):
    content, message = BROKEN_STATES[case]
    with pytest.raises(ValueError, match=message):
        models.load_encoder(network, content)


def test_the_file_of_weights_that_do_not_fit_is_named(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"model.encoder_weights .*w.pth: 'state_dict' is a dict"):
        building.model(_file(tmp_path / "w.pth"), 5, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.fill_(float("nan")), "hold NaN or infinity: 1 .conv1_weight"),
        (lambda tensor: tensor.fill_(float("inf")), "hold NaN or infinity: 1"),
        (lambda tensor: tensor.to(torch.int8), "of another kind than the encoder's: 1"),
        (lambda tensor: tensor.to(torch.complex64), "of another kind than the encoder's: 1"),
        (lambda tensor: tensor.to_sparse(), "of another kind than the encoder's: 1"),
        (lambda tensor: tensor.to(torch.bool), "of another kind than the encoder's: 1"),
        (lambda tensor: tensor.to("meta"), "of another kind than the encoder's: 1"),
        (lambda tensor: tensor[:1], "0 missing, 0 left over, 1 .* of another shape"),
        (lambda tensor: tensor.reshape(-1), "1 .* of another shape"),
        (lambda tensor: tensor[..., :0], "1 .* of another shape"),
    ],
)
def test_tensors_of_another_kind_are_named_and_nothing_is_copied(network, change, message):
    before = {key: value.clone() for key, value in network.encoder.state_dict().items()}
    changed = before | {"conv1.weight": change(before["conv1.weight"].clone())}
    with pytest.raises(ValueError, match=message):
        models.load_encoder(network, changed)
    after = network.encoder.state_dict()
    assert all(torch.equal(before[key], value) for key, value in after.items())


def test_half_precision_and_safetensors_in_capitals_still_load(tmp_path, network):
    state = {key: value.half() for key, value in network.encoder.state_dict().items()}
    counters = {key: value for key, value in state.items() if key.endswith("num_batches_tracked")}
    state |= {key: value.long() for key, value in counters.items()}
    save_file(state, tmp_path / "W.SafeTensors")
    models.load_encoder(network, building._read_weights(tmp_path / "W.SafeTensors"))
    filled = network.encoder.state_dict()["layer1.0.conv1.weight"]
    assert torch.equal(filled, state["layer1.0.conv1.weight"].float())
