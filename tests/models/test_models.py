"""Every row of MODELS: a new network is tested by standing in the table."""

import inspect
import io
import subprocess
import sys
from functools import cache, partial

import pytest
import torch
from network_cases import OF_VOLUMES, changed, evaluated, settings, small
from torch.nn.functional import binary_cross_entropy_with_logits

from gutseg.constants import NATIVE_SIZES
from gutseg.models import MODELS, build
from gutseg.models.blueprint import blueprint

NATIVE = [(height, width) for width, height in NATIVE_SIZES]
OWN = ["unet", "unet4", "unet5", "hybrid_unet", "hybrid4", "hybrid5", "smp"]
VOLUMES = [name for name, row in MODELS.items() if 3 in row.dims]
# one row stands for those that are built by the same code
ARGUMENTS = {
    (row.build.__code__, key): (name, key)
    for name, row in reversed(MODELS.items())
    for key in settings(name)
}.values()


def scales(outputs):
    """Return what a network answers as a list: with deep supervision it is one."""
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def shapes(construct):
    """Return the shapes of a network's state."""
    return {key: value.shape for key, value in blueprint(construct).state_dict().items()}


@cache
def small_shapes(name):
    return shapes(partial(small, name))


@pytest.mark.parametrize("name", MODELS)
def test_takes_every_native_size(name):
    network = blueprint(lambda: small(name)).eval()
    for size in (*NATIVE, (128, 128)):
        logits = network(torch.empty(1, 5, *size, device="meta"))
        assert logits.shape == (1, 3, *size)


@pytest.mark.parametrize("name", MODELS)
def test_eval_keeps_images_apart_at_an_odd_size(name):
    network, images = evaluated(name), torch.rand(2, 5, 37, 64)
    with torch.no_grad():
        logits = network(images)
        again = network(images[1:])
    assert logits.shape == (2, 3, 37, 64)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(again, logits[1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_channel_moves_every_class(name):
    image = torch.rand(1, 5, 32, 32)
    without_one = image * (1 - torch.eye(5)[..., None, None])
    with torch.no_grad():
        answers = evaluated(name)(torch.cat([without_one, image]))
    moved = answers[:5] - answers[5:]
    assert (moved.abs().amax(dim=(2, 3)) > 1e-4).all()
    assert not torch.allclose(moved[:, 0], moved[:, 1])


@pytest.mark.parametrize("name", MODELS)
def test_channels_last_gives_the_same_logits(name):
    images, network = torch.rand(2, 5, 50, 64), evaluated(name)
    last = torch.channels_last
    with torch.no_grad():
        expected = network(images)
        found = network.to(memory_format=last)(images.to(memory_format=last))
    network.to(memory_format=torch.contiguous_format)
    assert (found - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_autocast_stays_close_to_float32(name, dtype, tolerance):
    images, network = torch.rand(1, 5, 36, 40), evaluated(name)
    with torch.no_grad():
        expected = network(images)
        with torch.autocast("cpu", dtype=dtype):
            found = network(images)
    assert (found.float() - expected).norm() < tolerance * expected.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", MODELS)
def test_half_precision_on_a_gpu_stays_close_to_float32(name):
    images, network = torch.rand(2, 5, 96, 96, device="cuda"), small(name).cuda().eval()
    with torch.no_grad():
        expected = network(images)
        with torch.autocast("cuda", dtype=torch.float16):
            found = network(images)
    assert torch.isfinite(found).all()
    assert (found.float() - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("name", MODELS)
def test_two_steps_reach_every_trained_parameter_and_lower_the_loss(name):
    network, losses = small(name).train(), []
    images = torch.rand(2, 5, 64, 64)
    target = (images[:, :3] > 0.5).float()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)
    for step in range(3):
        torch.manual_seed(1)  # of dropout
        loss = sum(
            binary_cross_entropy_with_logits(logits, target) for logits in scales(network(images))
        )
        losses.append(loss.item())
        if step == 2:
            break
        optimiser.zero_grad()
        loss.backward()
        for key, parameter in network.named_parameters():
            # DistributedDataParallel stops at a trained parameter without a gradient
            assert (parameter.grad is not None) == parameter.requires_grad, key
            assert not parameter.requires_grad or torch.isfinite(parameter.grad).all(), key
        optimiser.step()
    assert losses[2] < losses[0], losses


@pytest.mark.parametrize(("name", "key"), ARGUMENTS)
def test_every_argument_changes_the_result(name, key):
    deep = key in OF_VOLUMES
    ours = partial(small, name, **{"dims": 3} if deep else {})
    theirs = partial(ours, **{key: changed(name, key)})
    if not deep and small_shapes(name) != shapes(theirs):
        return
    answers = []
    for construct in (ours, theirs):
        network = construct().train()
        torch.manual_seed(3)  # of dropout
        answers.append(scales(network(torch.rand(2, 5, *[8] * deep, 64, 64))))
    first, second = answers
    assert len(first) != len(second) or not torch.allclose(first[0], second[0], atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_the_state_of_one_network_makes_another_equal(name):
    torch.manual_seed(4)
    other = small(name).eval()
    for parameter in other.parameters():
        parameter.data.fill_(7)
    other.load_state_dict(evaluated(name).state_dict())
    images = torch.rand(1, 5, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(other(images), evaluated(name)(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", VOLUMES)
def test_takes_volumes(name):
    network, size = small(name, 2, 3, dims=3).train(), (17, 32, 32)
    outputs = scales(network(torch.rand(1, 2, *size)))
    assert {logits.shape for logits in outputs} == {(1, 3, *size)}
    sum(logits.square().mean() for logits in outputs).backward()
    for key, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, key
        assert not parameter.requires_grad or torch.isfinite(parameter.grad).all(), key


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row.onnx])
def test_exports_to_onnx(name):
    onnxruntime = pytest.importorskip("onnxruntime")
    network, images, file = small(name).eval(), torch.rand(1, 5, 50, 64), io.BytesIO()
    torch.onnx.export(network, (images,), file, dynamo=False, opset_version=18)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        expected = network(images)
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet4", "hybrid4", "smp"])
def test_compiles_without_a_graph_break(name):
    images = torch.rand(1, 5, 50, 64)
    compiled = torch.compile(evaluated(name), backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), evaluated(name)(images), atol=1e-4, rtol=1e-4)


def test_builders_of_both_dimensions_can_be_told_which():
    for name, row in MODELS.items():
        assert ("dims" in inspect.signature(row.build).parameters) == (row.dims == (2, 3)), name


@pytest.mark.slow
def test_importing_the_table_leaves_the_large_libraries_alone():
    large = ["segmentation_models_pytorch", "timm", "monai", "torchvision"]
    command = f"import sys, gutseg.models; print([x for x in {large} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("name", "sizes", "params", "message"),
    [
        ("unett", (3, 3), {}, "unknown name 'unett'; did you mean 'unet'"),
        ("unet", (0, 3), {}, "in_channels 0"),
        ("unet", (3, 0), {}, "classes 0"),
        ("unet", (3, 3), {"width": [8, 16]}, "no parameter 'width'; did you mean 'widths'"),
        ("unet", (3, 3), {"widths": "wide"}, "model.params.widths"),
        ("unet4", (3, 3), {"norm": "layer"}, "'none', 'batch', 'instance' or 'group'"),
        ("vnet", (3, 3), {"dims": 4}, "model.params.dims: Input should be 2 or 3"),
        ("highresnet", (3, 3), {"widths": [16, 8, 32]}, "must not decrease"),
    ],
)
def test_bad_arguments_are_named(name, sizes, params, message):
    with pytest.raises(ValueError, match=message):
        build(name, *sizes, **params)
