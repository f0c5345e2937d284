import pytest
import torch

from gutseg.models.presence import Gate, PresenceHead


def _logits(*shares: float) -> torch.Tensor:
    return torch.tensor(shares).logit()


# two images of two pixels of two classes, and how sure the head is that each is shown
MASKS = _logits(0.8, 0.5, 0.9, 0.1, 0.6, 0.6, 0.2, 0.99).reshape(2, 2, 1, 2)
PRESENCE = _logits(0.25, 0.9, 0.5, 0.1).reshape(2, 2)


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ("off", [0.8, 0.5, 0.9, 0.1, 0.6, 0.6, 0.2, 0.99]),
        ("multiply", [0.2, 0.125, 0.81, 0.09, 0.3, 0.3, 0.02, 0.099]),
        ("threshold", [0.0, 0.0, 0.9, 0.1, 0.6, 0.6, 0.0, 0.0]),
    ],
)
def test_a_gate_on_classes_that_overlap_worked_by_hand(effect, expected):
    gated = Gate(effect, threshold=0.4)(MASKS, PRESENCE)
    torch.testing.assert_close(gated.sigmoid().flatten(), torch.tensor(expected))


def test_a_gate_on_exclusive_classes_shares_out_what_it_takes():
    """Shares 0.5, 0.3, 0.2 of a pixel; presence 0.9, 0.1, 0.6: 0.45, 0.03, 0.12 of 0.6."""
    masks = torch.tensor([0.5, 0.3, 0.2]).log().reshape(1, 3, 1, 1)
    presence = _logits(0.9, 0.1, 0.6)[None]
    gated = Gate(exclusive=True)(masks, presence).softmax(dim=1).flatten()
    torch.testing.assert_close(gated, torch.tensor([0.75, 0.05, 0.2]))
    gated = Gate("threshold", exclusive=True)(masks, presence).softmax(dim=1).flatten()
    torch.testing.assert_close(gated, torch.tensor([5 / 7, 0, 2 / 7]))
    nothing_left = Gate("threshold", threshold=0.95, exclusive=True)(masks, presence)
    torch.testing.assert_close(nothing_left.softmax(dim=1), masks.softmax(dim=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gate_stays_finite_at_any_logit(dtype):
    far = torch.tensor([-300.0, 0.0, 300.0], dtype=dtype)
    masks, presence = far.repeat(3).reshape(1, 9, 1, 1, 1), far.repeat_interleave(3)[None]
    for exclusive in (False, True):
        for effect in ("multiply", "threshold"):
            gated = Gate(effect, exclusive=exclusive)(masks, presence)
            assert gated.dtype == torch.float32 and torch.isfinite(gated).all()


def test_the_head_sees_a_class_in_one_place_and_in_all():
    """Two channels of four places: means 1 and 3, maxima 4 and 3."""
    head = PresenceHead(2, 1)
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
        head.linear.bias.fill_(0.5)
    features = torch.tensor([[0.0, 4.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0]])
    expected = torch.tensor([[1 + 30 + 400 + 3000 + 0.5]])
    assert torch.equal(head(features.reshape(1, 2, 2, 2)), expected)
    assert torch.equal(head(features.reshape(1, 2, 1, 2, 2)), expected)
    assert torch.equal(head(features.T[None]), expected)
