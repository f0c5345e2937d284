import numpy as np
import pytest
import torch

from gutseg.models.attention import ExternalAttention
from gutseg.models.attention.external import double_normalise


def _numpy(parameter):
    return parameter.detach().double().numpy()


def _normalise(logits):
    """Table 2's two normalisations of one head's (N, M) logits, column by column, float64."""
    attention = np.empty_like(logits)
    for column in range(logits.shape[1]):
        exponents = np.exp(logits[:, column] - logits[:, column].max())
        attention[:, column] = exponents / exponents.sum()
    for row in attention:
        row /= row.sum()
    return attention


def _reference(block, image, heads):
    """Table 2 of [Xu 2022] for one image (C, H, W), head by head, in float64."""
    channels = image.shape[0]
    size = 4 * channels // heads
    tokens = image.reshape(channels, -1).T
    query = tokens @ _numpy(block.query.weight).T + _numpy(block.query.bias)
    context = np.empty_like(query)
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        keys, values = block.memory_keys, block.memory_values
        attention = _normalise(query[:, own] @ _numpy(keys.weight).T + _numpy(keys.bias))
        context[:, own] = attention @ _numpy(values.weight).T + _numpy(values.bias)
    merged = context @ _numpy(block.project.weight).T + _numpy(block.project.bias)
    return merged.T.reshape(image.shape)


@pytest.mark.parametrize(
    ("channels", "heads", "size"),
    [(8, 4, (5, 7)), (8, 32, (4, 4)), (6, 3, (9, 2)), (4, 1, (1, 1)), (16, 8, (12, 16))],
)
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("slots", [None, 5])
def test_matches_table_2_written_as_loops(channels, heads, size, residual, slots):
    torch.manual_seed(0)
    block = ExternalAttention(channels, heads=heads, slots=slots, residual=residual)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    features = torch.randn(2, channels, *size)
    with torch.no_grad():
        out = block(features).double().numpy()
    for image, found in zip(features.double().numpy(), out, strict=True):
        expected = _reference(block, image, heads) + (image if residual else 0)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_has_529760_parameters_at_256_channels():
    assert sum(p.numel() for p in ExternalAttention(256).parameters()) == 529_760
    assert ExternalAttention(256, slots=7).memory_keys.out_features == 7


@pytest.mark.parametrize("scale", [1, 8, 60])
def test_rows_over_the_memory_sum_to_one_and_columns_over_the_pixels_do_not(scale):
    torch.manual_seed(1)
    logits = scale * torch.randn(2, 3, 400, 16)
    attention = double_normalise(logits)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 3, 400))
    assert (attention.sum(-2) - 1).abs().min() > 0.1
    for found, head in zip(attention.flatten(0, 1), logits.flatten(0, 1), strict=True):
        expected = _normalise(head.double().numpy())
        np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=1e-6)


# Rounding the queries alone moves a logit by up to 2^-11 (float16) or 2^-8 (bfloat16) of itself.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.01), (torch.bfloat16, 0.05)])
def test_half_precision_survives_large_logits_on_128_by_128_pixels(dtype, tolerance):
    torch.manual_seed(2)
    block = ExternalAttention(8, heads=4, residual=False)
    features = torch.randn(1, 8, 128, 128)
    with torch.no_grad():
        query = block.query(features.flatten(2).transpose(1, 2)).unflatten(-1, (4, -1))
        block.memory_keys.weight *= 8 / block._logits(query.transpose(1, 2)).std()
        with torch.autocast("cpu", dtype=dtype):
            out = block(features)
    expected = _reference(block, features[0].double().numpy(), heads=4)
    error = np.abs(out[0].double().numpy() - expected)
    assert error.max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_are_float32_whatever_the_autocast(dtype):
    torch.manual_seed(2)
    block = ExternalAttention(8, heads=4)
    query = (30 * torch.randn(1, 4, 10, 8)).to(dtype)
    with torch.autocast("cpu", dtype=dtype):
        found = block._logits(query)
    assert found.dtype == torch.float32
    exact = query.double() @ block.memory_keys.weight.double().T + block.memory_keys.bias.double()
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_block_cast_to_another_precision_works(dtype):
    torch.manual_seed(3)
    block, features = ExternalAttention(8, heads=4), torch.randn(1, 8, 6, 6)
    expected = block(features)
    out = block.to(dtype)(features.to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), expected, atol=0.03, rtol=0)


def test_the_answer_depends_on_what_the_image_shows_not_on_its_size_alone():
    torch.manual_seed(4)
    block = ExternalAttention(8, heads=4)
    block.memory_keys.weight.data *= 8
    features = torch.randn(1, 8, 8, 8)
    repeated = block(torch.cat((features, features), dim=3))[..., :8]
    torch.testing.assert_close(repeated, block(features))
    padded = block(torch.cat((features, torch.zeros(1, 8, 8, 8)), dim=3))[..., :8]
    assert (padded - block(features)).abs().max() > 0.01


def test_pixels_are_a_set_and_images_are_apart():
    torch.manual_seed(5)
    block = ExternalAttention(8, heads=4)
    features = torch.randn(2, 8, 6, 10)
    turned = block(features.transpose(2, 3).flip(2))
    torch.testing.assert_close(turned, block(features).transpose(2, 3).flip(2))
    torch.testing.assert_close(block(features)[1:], block(features[1:]))


def test_every_parameter_gets_a_finite_gradient():
    block = ExternalAttention(8, heads=4)
    block(torch.randn(2, 8, 5, 6)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        # The softmax over pixels cancels the keys' bias, see the block.
        assert name == "memory_keys.bias" or parameter.grad.abs().max() > 0, name


def test_heads_that_do_not_divide_the_widened_channels_are_named():
    with pytest.raises(ValueError, match="heads 3 does not divide 32 channels"):
        ExternalAttention(8, heads=3)
