import pytest
import torch
from torch import nn

from gutseg.models.padding import PaddedNet, margins, run_padded


@pytest.mark.parametrize(
    ("size", "multiple", "expected"),
    [
        ((266, 266), 16, (3, 3, 3, 3)),
        ((310, 360), 32, (12, 12, 5, 5)),
        ((33, 64), 32, (0, 0, 15, 16)),
        ((1, 3), 4, (0, 1, 1, 2)),
        ((64, 96), 32, (0, 0, 0, 0)),
    ],
)
def test_margins_are_central_and_reach_the_multiple(size, multiple, expected):
    left, right, top, bottom = margins(size, multiple)
    assert (left, right, top, bottom) == expected
    assert (size[0] + top + bottom) % multiple == (size[1] + left + right) % multiple == 0


def test_the_network_sees_a_centred_image_with_a_zero_margin_and_the_answer_is_cropped_back():
    images = torch.rand(2, 3, 5, 7) + 1
    seen = []

    def network(padded):
        seen.append(padded)
        return padded[:, :1] * 2

    logits = run_padded(network, images, 8)
    assert torch.equal(logits, images[:, :1] * 2)
    assert seen[0].shape == (2, 3, 8, 8)
    assert torch.equal(seen[0][..., 1:6, :7], images)
    assert seen[0].sum() == pytest.approx(images.sum().item(), rel=1e-6)


def test_a_fitting_image_is_handed_over_untouched():
    images = torch.rand(1, 1, 16, 8)
    assert run_padded(lambda padded: padded, images, 8) is images


def test_small_images_grow_to_the_least_size_and_volumes_in_every_direction():
    assert margins((20, 40), 16, 32) == [4, 4, 6, 6]
    assert margins((5, 16, 17), 16) == [7, 8, 0, 0, 5, 6]
    volumes = torch.rand(1, 2, 3, 5, 7)
    assert torch.equal(run_padded(lambda padded: padded, volumes, 4), volumes)


def test_of_several_outputs_the_coarse_are_enlarged_before_they_are_cropped():
    images = torch.rand(1, 1, 6, 8)  # padded to 8 x 8, one row above

    def network(padded):
        coarse = torch.arange(4.0).reshape(1, 1, 4, 1).expand(1, 1, 4, 4)
        return padded, coarse

    fine, coarse = run_padded(network, images, 8)
    assert torch.equal(fine, images)
    # rows of 8, bilinear between pixel centres, without the first and the last
    assert coarse[0, 0, :, 0].tolist() == [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]


def test_a_padded_network_predicts_the_finest_of_its_outputs():
    network = PaddedNet(nn.Identity(), 4, scales=lambda images: [images, images * 2])
    images = torch.rand(1, 1, 5, 5)
    assert torch.equal(torch.cat(network(images)), torch.cat([images, images * 2]))
    assert torch.equal(network.eval()(images), images)
