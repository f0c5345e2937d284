import numpy as np
import pytest
import torch

from gutseg.models.two_path_cnn import MaxoutBlock, two_path_cnn


def _convolve(planes, weight, bias):
    """(in, H, W) with (out, in, k, k): (out, H - k + 1, W - k + 1)."""
    side = weight.shape[-1]
    windows = np.lib.stride_tricks.sliding_window_view(planes, (side, side), axis=(1, 2))
    return np.einsum("ihwuv,oiuv->ohw", windows, weight) + bias[:, None, None]


def _maxout(planes, pieces):
    return np.stack([planes[i : i + pieces].max(0) for i in range(0, len(planes), pieces)])


def _pool(planes, side):
    windows = np.lib.stride_tricks.sliding_window_view(planes, (side, side), axis=(1, 2))
    return windows.max(axis=(3, 4))


def _patch(network, patch, pieces, global_pool):
    """Classify the centre of one 33x33 patch (S, 33, 33) as [Havaei 2017] figure 2 draws it."""
    state = {key: value.numpy().astype(float) for key, value in network.state_dict().items()}

    def conv(planes, name):
        return _convolve(planes, state[f"{name}.weight"], state[f"{name}.bias"])

    local = _pool(_maxout(conv(patch, "local_path.0.conv"), pieces), 4)
    local = _pool(_maxout(conv(local, "local_path.1.conv"), pieces), 2)
    wide = _pool(_maxout(conv(patch, "global_path.conv"), pieces), global_pool)
    height, width = local.shape[1:]
    both = np.concatenate((local, wide[:, :height, :width]))
    return np.einsum("ihw,oihw->o", both, state["head.weight"]) + state["head.bias"]


@pytest.mark.parametrize(
    ("second_kernel", "global_pool", "pieces"), [(5, 2, 2), (3, 1, 2), (3, 1, 1), (5, 1, 3)]
)
def test_every_pixel_is_classified_by_the_patch_around_it(second_kernel, global_pool, pieces):
    torch.manual_seed(0)
    network = two_path_cnn(
        2,
        3,
        widths=(3, 4, 5),
        second_kernel=second_kernel,
        global_pool=global_pool,
        pieces=pieces,
    )
    images = torch.rand(1, 2, 37, 40)
    with torch.no_grad():
        logits = network.valid(images)
    assert logits.shape == (1, 3, 5, 8)
    for row, column in ((0, 0), (4, 7), (2, 3)):
        patch = images[0, :, row : row + 33, column : column + 33].numpy().astype(float)
        expected = _patch(network, patch, pieces, global_pool)
        np.testing.assert_allclose(logits[0, :, row, column], expected, rtol=1e-4, atol=1e-5)


def test_maxout_takes_the_larger_of_neighbouring_kernels_and_pools_without_stride():
    block = MaxoutBlock(1, 1, kernel=1, pool=2, pieces=2)
    block.conv.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    block.conv.bias.data.zero_()
    images = torch.tensor([[1.0, -5.0, 0.0], [2.0, 0.0, 3.0]])[None, None]
    assert block(images).tolist() == [[[[5.0, 5.0]]]]  # |x|, then 2x2


@pytest.mark.parametrize(("channels", "printed"), [(4, 651_488), (9, 802_368)])
def test_havaeis_form_has_the_parameters_that_its_figures_print(channels, printed):
    """Figures 2 and 3a count one kernel a map and no biases."""
    network = two_path_cnn(channels, 5, second_kernel=3, global_pool=1, pieces=1)
    weights = [value.numel() for key, value in network.named_parameters() if "bias" not in key]
    assert sum(weights) == printed
    assert network.head.kernel_size == (21, 21)


def test_parameters_of_the_generalised_dice_form():
    network = two_path_cnn(1, 2)
    kernels = 2 * (64 * 49 + 64 * 64 * 25 + 160 * 169)
    biases = 2 * (64 + 64 + 160)
    assert network.head.kernel_size == (19, 19)
    expected = kernels + biases + 2 * 224 * 361 + 2
    assert sum(parameter.numel() for parameter in network.parameters()) == expected == 427_458
