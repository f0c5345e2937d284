import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gutseg.models.multiresunet import MultiResBlock, ResPath, block_widths, multiresunet
from tests.models.plain import conv, count, double_up, norm, random_norms


@pytest.mark.parametrize(
    ("width", "expected"),
    # as the paper prints them
    [(32, [8, 17, 26]), (64, [17, 35, 53]), (128, [35, 71, 106]), (256, [71, 142, 213])]
    + [(512, [142, 284, 427]), (2, [1, 1, 1])],
)
def test_a_block_has_the_channels_of_the_paper(width, expected):
    assert block_widths(width, 1.67) == expected


def test_has_the_7_262_750_numbers_of_the_paper():
    """Keras counts a norm's two statistics too; the inner norms there have no gain."""
    with torch.device("meta"):
        network = multiresunet(3, 1)
        assert count(multiresunet(3, 3)) == 7_244_878
    norms = {
        key: layer for key, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)
    }
    statistics = sum(2 * layer.num_features for layer in norms.values())
    gains = sum(layer.num_features for key, layer in norms.items() if "norm" not in key)
    head_norm = 2  # shift, mean and deviation instead of the bias
    assert count(network) + statistics - gains + head_norm == 7_262_750


def _unit(state, name, features):
    return norm(state, f"{name}.1", conv(state, f"{name}.0", features))


def _block(state, name, features):
    first = _unit(state, f"{name}.steps.0.0", features).relu()
    second = _unit(state, f"{name}.steps.1.0", first).relu()
    third = _unit(state, f"{name}.steps.2.0", second).relu()
    joined = norm(state, f"{name}.norm", torch.cat((first, second, third), dim=1))
    added = (joined + _unit(state, f"{name}.shortcut", features)).relu()
    return norm(state, f"{name}.last_norm", added)


def _path(state, name, features, length):
    for k in range(length):
        beside = _unit(state, f"{name}.shortcuts.{k}", features)
        added = (_unit(state, f"{name}.steps.{k}.0", features).relu() + beside).relu()
        features = norm(state, f"{name}.norms.{k}", added)
    return features


def _named(module, name):
    return {f"{name}.{key}": value for key, value in module.state_dict().items()}


def test_a_block_matches_the_paper_written_step_by_step():
    torch.manual_seed(0)
    block, features = random_norms(MultiResBlock(5, 8, 1.67)), torch.randn(2, 5, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(block(features), _block(_named(block, "b"), "b", features))


def test_a_path_matches_the_paper_written_step_by_step():
    torch.manual_seed(0)
    path, features = random_norms(ResPath(5, 3, 4)), torch.randn(2, 5, 7, 9)
    with torch.no_grad():
        torch.testing.assert_close(path(features), _path(_named(path, "p"), "p", features, 4))


def test_the_network_matches_the_paper_written_step_by_step():
    torch.manual_seed(0)
    network, images = random_norms(multiresunet(3, 2, width=4)), torch.rand(2, 3, 32, 48)
    state, features, skips = network.state_dict(), images, []
    with torch.no_grad():
        for level in range(5):
            features = _block(state, f"encoder.{level}", features)
            if level < 4:
                # 4 convolutions beside the finest level, 1 beside the coarsest
                skips.append(_path(state, f"paths.{level}", features, 4 - level))
                features = F.max_pool2d(features, 2)
        for level in range(4):
            joined = torch.cat((double_up(state, f"up.{level}", features), skips.pop()), dim=1)
            features = _block(state, f"decoder.{level}", joined)
        torch.testing.assert_close(network(images), conv(state, "head", features))
