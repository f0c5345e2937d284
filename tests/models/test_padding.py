import pytest
import torch

from gutseg.models.padding import margins, run_padded


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
