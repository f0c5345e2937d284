import numpy as np
import pytest
import torch

from gutseg.models.attention import LocalAttention


def _linear(layer, tokens):
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    return tokens @ weight.T + bias


def _reference(block, image, heads, window):
    """Table 1 of [Xu 2022] for one image (C, H, W), window by window and head by head, float64."""
    channels, height, width = image.shape
    size = channels // heads
    out = np.zeros_like(image)
    for top in range(0, height, window):
        for left in range(0, width, window):
            patch = image[:, top : top + window, left : left + window]
            tokens = patch.reshape(channels, -1).T
            query, key, value = (
                _linear(layer, tokens) for layer in (block.query, block.key, block.value)
            )
            context = np.zeros_like(tokens)
            for head in range(heads):
                own = slice(head * size, (head + 1) * size)
                for i in range(len(tokens)):
                    scores = np.array(
                        [query[i, own] @ key[j, own] / np.sqrt(size) for j in range(len(tokens))]
                    )
                    weights = np.exp(scores) / np.exp(scores).sum()
                    context[i, own] = weights @ value[:, own]
            merged = _linear(block.merge, context)
            out[:, top : top + window, left : left + window] = merged.T.reshape(patch.shape)
    return out


@pytest.mark.parametrize(
    ("channels", "heads", "window", "size"),
    [
        (8, 2, 4, (8, 12)),
        (8, 4, 4, (5, 4)),
        (6, 3, 4, (7, 9)),
        (6, 1, 4, (3, 2)),
        (4, 4, 3, (6, 7)),
        (4, 2, 1, (3, 3)),
    ],
)
@pytest.mark.parametrize("residual", [True, False])
def test_matches_table_1_written_as_loops(channels, heads, window, size, residual):
    torch.manual_seed(0)
    block = LocalAttention(channels, heads=heads, window=window, residual=residual)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    features = torch.randn(2, channels, *size)
    with torch.no_grad():
        out = block(features).double().numpy()
    for image, found in zip(features.double().numpy(), out, strict=True):
        expected = _reference(block, image, heads, window) + (image if residual else 0)
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("channels", "count"), [(64, 16_640), (128, 66_048), (256, 263_168)])
def test_has_4_c_squared_plus_c_parameters(channels, count):
    assert sum(p.numel() for p in LocalAttention(channels).parameters()) == count


def test_a_shift_by_whole_windows_shifts_the_result():
    torch.manual_seed(1)
    block = LocalAttention(8, heads=2)
    features = torch.randn(1, 8, 16, 12)
    shifted = block(features.roll((4, 8), dims=(2, 3)))
    torch.testing.assert_close(shifted, block(features).roll((4, 8), dims=(2, 3)))
    by_half_a_window = block(features.roll(2, dims=3))
    assert not torch.allclose(by_half_a_window, block(features).roll(2, dims=3), atol=1e-3)


def test_a_pixel_reaches_its_own_window_only_and_all_of_it():
    torch.manual_seed(2)
    block = LocalAttention(8, heads=2)
    features = torch.randn(1, 8, 10, 11)
    touched = features.clone()
    touched[..., 9, 5] += 1
    moved = (block(touched) - block(features)).abs().sum(1)[0]
    assert (moved[8:10, 4:8] > 0).all()
    moved[8:10, 4:8] = 0
    assert moved.max() == 0


def test_each_image_is_on_its_own():
    torch.manual_seed(3)
    block = LocalAttention(8, heads=4)
    features = torch.randn(3, 8, 6, 9)
    torch.testing.assert_close(block(features)[1:2], block(features[1:2]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_stays_finite_and_close_at_an_odd_size(dtype):
    torch.manual_seed(4)
    block = LocalAttention(16, heads=2)
    features = 8 * torch.randn(1, 16, 9, 10)
    expected = block(features)
    with torch.autocast("cpu", dtype=dtype):
        out = block(features)
    assert (out.float() - expected).norm() < 0.02 * expected.norm()


def test_every_parameter_gets_a_finite_gradient():
    block = LocalAttention(8, heads=2)
    block(torch.randn(2, 8, 5, 6)).square().sum().backward()
    for name, parameter in block.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        # The softmax cancels the key's bias, see the block.
        assert name == "key.bias" or parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 3}, r"heads 3 does not divide 8 channels; choices: \[1, 2, 4, 8\]"),
        ({"heads": 0}, "heads 0"),
        ({"window": 0}, "window 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalAttention(8, **arguments)
