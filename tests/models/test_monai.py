"""What is different from the library's networks, and that nothing else is."""

import pytest
import torch
from monai.networks.nets import UNETR
from monai.networks.nets.vnet import InputTransition
from network_cases import small
from torch import nn

from gutseg.models.monai import FirstStage
from gutseg.models.monai_transformers import AnySizeUNETR

DEEP = ["unetpp_deep", "dynunet", "mednext", "nnunet_resenc"]


def test_vnets_first_stage_is_the_librarys_where_the_channels_divide_16():
    library = InputTransition(2, 4, 16, ("elu", {"inplace": True})).eval()
    ours = FirstStage(InputTransition(2, 1, 16, ("elu", {"inplace": True})), 4).eval()
    weights = library.state_dict().items()
    ours.load_state_dict({key.replace("conv_block", "block"): value for key, value in weights})
    images = torch.rand(1, 4, 6, 6)
    torch.testing.assert_close(ours(images), library(images))


@pytest.mark.parametrize(("channels", "expected"), [(3, [0, 1, 2] * 5 + [0]), (17, range(16))])
def test_vnets_shortcut_repeats_any_number_of_channels(channels, expected):
    stage = FirstStage(InputTransition(2, 1, 16, "relu"), channels).eval()
    nn.init.zeros_(stage.block.conv.weight)
    images = torch.arange(channels).float()[None, :, None, None].expand(1, channels, 2, 2)
    assert stage(images)[0, :, 0, 0].tolist() == [*expected]


def test_vnet_drops_channels_of_every_image_and_no_whole_image():
    torch.manual_seed(0)
    kept = [
        module.train()(torch.ones(2, 64, 3, 3)).flatten(2).sum(2) > 0
        for module in small("vnet").modules()
        if isinstance(module, nn.Dropout2d | nn.Dropout3d)
    ]
    assert len(kept) == 8
    assert all(0 < image.sum() < 64 for found in kept for image in found)


def test_highresnets_logits_have_both_signs():
    logits = small("highresnet").train()(torch.rand(1, 5, 16, 16))
    assert (logits < 0).any() and (logits > 0).any()


@pytest.mark.parametrize("dims", [2, 3])
def test_unetr_is_the_librarys_on_its_own_size(dims):
    torch.manual_seed(0)
    sizes = {"feature_size": 4, "hidden_size": 12, "mlp_dim": 24, "num_heads": 3}
    library = UNETR(2, 3, 32, **sizes, spatial_dims=dims).eval()
    images = torch.rand(2, 2, *[32] * dims)
    with torch.no_grad():
        torch.testing.assert_close(AnySizeUNETR(library)(images), library(images))


def test_unetr_interpolates_positions_to_another_grid():
    net = small("unetr", image_size=32).net
    nn.init.zeros_(net.net.vit.patch_embedding.position_embeddings)
    with torch.no_grad():
        net.net.vit.patch_embedding.position_embeddings[0, :, 0] = torch.tensor([0.0, 1, 2, 3])
    # rows 0 and 2, columns 0 and 1; bilinear, pixel centres
    columns = torch.tensor([0, 0.25, 0.75, 1])
    expected = columns + 2 * columns[:, None]
    torch.testing.assert_close(net._positions((4, 4))[0, 0], expected)


@pytest.mark.parametrize("name", DEEP)
def test_deep_supervision_puts_what_is_predicted_first(name):
    network, images = small(name, deep_supervision=True), torch.rand(1, 5, 37, 64)
    with torch.no_grad():
        several, one = network.train()(images), network.eval()(images)
    assert len(several) > 2
    assert {logits.shape for logits in several} == {(1, 3, 37, 64)}
    torch.testing.assert_close(several[0], one)
    assert not any(torch.allclose(logits, one) for logits in several[1:])


def test_auto3dseg_supervises_the_two_finest_levels():
    network, images = small("segresnet_ds", deep_supervision=True), torch.rand(2, 5, 64, 48)
    fine, coarse = network.train()(images)
    assert fine.shape == (2, 3, 64, 48) and coarse.shape == (2, 3, 32, 24)
    coarse.sum().backward()
    reached = {name for name, one in network.named_parameters() if one.grad is not None}
    # the last of four decoder stages is behind the coarse logits
    assert {name.split(".")[2] for name in reached if "up_layers" in name} == {"0", "1", "2"}


@pytest.mark.parametrize("name", [*DEEP, "segresnet_ds"])
def test_without_deep_supervision_training_answers_once(name):
    logits = small(name, deep_supervision=False).train()(torch.rand(1, 5, 32, 32))
    assert logits.shape == (1, 3, 32, 32)
