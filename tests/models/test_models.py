"""Every row of MODELS: a new network is tested by standing in the table."""

import inspect
import subprocess
import sys

import pytest
import torch

from gutseg.constants import NATIVE_SIZES
from gutseg.models import MODELS, build

HALVED = [(height // 2, width // 2) for width, height in NATIVE_SIZES]

# Another value for every argument of every row; a new argument needs one here.
CHANGED = {
    "widths": [8, 16, 32],
    "norm": "batch",
    "dropout": 0.9,
    "local_levels": [1],
    "external_levels": [],
    "window": 3,
    "local_heads": 2,
    "external_heads": 8,
    "residual": False,
    "architecture": "FPN",
    "encoder": "mobilenet_v2",
    "options": {"decoder_channels": [64, 32, 16, 8, 8]},
    "encoder_options": {"stem_type": "deep", "stem_width": 32},
}
# What an argument needs beside it; encoder_weights needs a download, see test_library.py.
BESIDE = {"encoder_options": {"encoder": "tu-resnet18"}}
ARGUMENTS = [
    (name, key)
    for name, row in MODELS.items()
    for key, parameter in inspect.signature(row.build).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY and key != "encoder_weights"
]


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {name: build(name, 5, 3).eval() for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [*HALVED, (37, 64)])
def test_keeps_any_size(networks, name, size):
    with torch.no_grad():
        logits = networks[name](torch.rand(1, 5, *size))
    assert logits.shape == (1, 3, *size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", MODELS)
def test_eval_is_deterministic_and_keeps_images_apart(networks, name):
    images = torch.rand(2, 5, 37, 64)
    with torch.no_grad():
        logits = networks[name](images)
        assert torch.equal(networks[name](images), logits)
        torch.testing.assert_close(networks[name](images[1:]), logits[1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_channel_moves_every_class(networks, name):
    image = torch.rand(1, 5, 32, 32)
    without_one = image * (1 - torch.eye(5)[..., None, None])
    with torch.no_grad():
        moved = networks[name](without_one) - networks[name](image)
    assert (moved.abs().amax(dim=(2, 3)) > 1e-4).all()
    assert not torch.allclose(moved[:, 0], moved[:, 1])


@pytest.mark.parametrize("name", MODELS)
def test_channels_last_gives_the_same_logits(networks, name):
    images = torch.rand(2, 5, 50, 64)
    last = torch.channels_last
    with torch.no_grad():
        expected = networks[name](images)
        network = networks[name].to(memory_format=last)
        found = network(images.to(memory_format=last))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_autocast_stays_close_to_float32(networks, name, dtype, tolerance):
    images = torch.rand(1, 5, 36, 40)
    with torch.no_grad():
        expected = networks[name](images)
        with torch.autocast("cpu", dtype=dtype):
            found = networks[name](images)
    assert (found.float() - expected).norm() < tolerance * expected.norm()


@pytest.mark.parametrize("name", MODELS)
def test_every_trained_parameter_gets_a_finite_gradient(name):
    torch.manual_seed(1)
    network = build(name, 3, 2).train()
    assert network.training
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    for key, parameter in network.named_parameters():
        # DistributedDataParallel stops at a trained parameter without one.
        assert (parameter.grad is not None) == parameter.requires_grad, key
        if parameter.requires_grad:
            assert torch.isfinite(parameter.grad).all(), key
    assert sum(p.grad.abs().sum() for p in network.parameters() if p.requires_grad) > 0


@pytest.mark.parametrize(("name", "key"), ARGUMENTS)
def test_every_argument_changes_the_result(name, key):
    beside = BESIDE.get(key, {})

    def answer(**params):
        torch.manual_seed(2)
        network = build(name, 3, 2, **beside, **params).train()
        torch.manual_seed(3)
        return network(torch.rand(2, 3, 64, 64))

    assert not torch.allclose(answer(**{key: CHANGED[key]}), answer(), atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_the_state_of_one_network_makes_another_equal(networks, name):
    other = build(name, 5, 3).eval()
    other.load_state_dict(networks[name].state_dict())
    images = torch.rand(1, 5, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(other(images), networks[name](images), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet4", "hybrid4", "smp"])
def test_compiles_without_a_graph_break(networks, name):
    images = torch.rand(1, 5, 50, 64)
    compiled = torch.compile(networks[name], backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), networks[name](images), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_importing_the_table_leaves_the_large_library_alone():
    command = "import sys, gutseg.models; print('segmentation_models_pytorch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("name", "sizes", "params", "message"),
    [
        ("unett", (3, 3), {}, "unknown name 'unett'; did you mean 'unet'"),
        ("unet", (0, 3), {}, "in_channels 0"),
        ("unet", (3, 0), {}, "classes 0"),
        ("unet", (3, 3), {"width": [8, 16]}, "no parameter 'width'; did you mean 'widths'"),
        ("unet", (3, 3), {"widths": "wide"}, "model.params.widths"),
        ("unet4", (3, 3), {"norm": "layer"}, "'none', 'batch', 'instance' or 'group'"),
    ],
)
def test_bad_arguments_are_named(name, sizes, params, message):
    with pytest.raises(ValueError, match=message):
        build(name, *sizes, **params)
