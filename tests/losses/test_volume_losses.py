"""Every loss on volumes (B, C, Z, H, W): that of images that are the slices one below the other."""

import pytest
import torch
from loss_cases import NEEDED, case, native
from torch.nn import functional

from gutseg.data.maps import Maps
from gutseg.losses import LOSSES, Criterion

ROWS = [(name, mode) for name in sorted(LOSSES) for mode in LOSSES[name].modes]
# They look at neighbouring pixels, which those of the next slice are not.
SLICE_BY_SLICE = {
    *("ssim", "hausdorff_dt", "bce_iou_ssim", "boundary_dou", "cc_dice_ce", "blob_dice"),
    *("cl_dice", "skeleton_recall", "worst_neighbours"),
}
SUMS = {"weighted_sum": {"terms": [{"loss": "topk_percent"}, {"loss": "dice"}]}}


def _below(tensor: torch.Tensor) -> torch.Tensor:
    """(..., Z, H, W) -> (..., Z * H, W)."""
    return tensor.flatten(-3, -2)


def _apart(tensor: torch.Tensor) -> torch.Tensor:
    """(B, C, Z, H, W) or (B, Z, H, W) -> (B * Z, [C,] H, W)."""
    return torch.cat([tensor.select(-3, z) for z in range(tensor.shape[-3])])


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(("name", "mode"), ROWS)
def test_a_volume_counts_as_its_slices_one_below_the_other(name, mode, ignored):
    logits, target = case((2, 3, 4, 6, 5))
    loss = Criterion(name, mode=mode, **(NEEDED | SUMS).get(name, {}))
    planes = _apart(target)  # (8, C, 6, 5), of the same z together
    maps = Maps(sorted(loss.required_maps)).tensors(planes.numpy())
    extras = {key: torch.stack(one.split(2), dim=2) for key, one in maps.items()}
    if mode == "multiclass":
        target = native("ce", target)  # (B, Z, H, W)
    if ignored:
        extras["ignore"] = torch.zeros(2, 4, 6, 5, dtype=torch.bool)
        extras["ignore"][0, 2:] = extras["ignore"][1, 0, 2:4] = True
    move = _apart if name in SLICE_BY_SLICE else _below
    expected = loss(move(logits), move(target), **{key: move(one) for key, one in extras.items()})
    moving = logits.clone().requires_grad_()
    found = loss(moving, target, **extras)
    assert found[0].item() == pytest.approx(expected[0].item(), rel=1e-5, abs=1e-7)
    assert found[1].keys() == expected[1].keys()
    found[0].backward()
    assert torch.isfinite(moving.grad).all() and moving.grad.any()
    if ignored:
        assert not moving.grad.movedim(1, -1)[extras["ignore"]].any()


def test_a_coarse_volume_is_brought_to_full_size_along_all_three_axes():
    _, target = case((1, 1, 4, 6, 8))
    fine = torch.zeros(1, 1, 4, 6, 8)
    coarse, third = torch.randn(1, 1, 2, 3, 4), torch.zeros(1, 1, 1, 1, 1)
    loss = Criterion("deep_supervision", loss="bce", mode="multilabel")
    found = loss([fine, coarse, third], target)[1]
    full = functional.interpolate(coarse, (4, 6, 8), mode="trilinear")
    expected = functional.binary_cross_entropy_with_logits(full, target)
    assert found["scale1"].item() == pytest.approx(expected.item() / 3, rel=1e-5)


def test_a_target_of_another_depth_is_refused():
    logits, target = case((2, 3, 4, 6, 5))
    with pytest.raises(ValueError, match=r"target: \(2, 3, 3, 6, 5\) does not fit logits"):
        Criterion("bce")(logits, target[:, :, 1:])
    with pytest.raises(ValueError, match=r"expected a tensor \(B, C, \[Z,\] H, W\), found \(3, 6"):
        Criterion("bce")(logits[0, :, 0], target[0, :, 0])
