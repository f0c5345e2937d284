import pytest
import torch

from gutseg.engine.presence import WithPresence, finest, shows
from gutseg.losses import Criterion
from gutseg.models.presence import Outputs


def test_an_image_shows_a_class_of_which_it_has_a_pixel():
    planes = torch.zeros(2, 3, 2, 2)
    planes[0, 1, 1, 0] = 1
    planes[1, :, 0, 1] = torch.tensor([0.4, 0.5, 1.0])
    assert shows(planes, 3).tolist() == [[0, 1, 0], [0, 1, 1]]
    ignore = torch.zeros(2, 2, 2, dtype=torch.bool)
    ignore[1, 0, 1] = True
    assert shows(planes, 3, ignore).tolist() == [[0, 1, 0], [0, 0, 0]]
    numbers = torch.tensor([[[0, 0], [0, 2]], [[1, 1], [2, 1]]])
    assert shows(numbers, 3).tolist() == [[1, 0, 1], [0, 1, 1]]
    ignore = torch.zeros(2, 2, 2, dtype=torch.bool)
    ignore[0, 1, 1] = True
    assert shows(numbers, 3, ignore).tolist() == [[1, 0, 0], [0, 1, 1]]
    assert shows(numbers[:, None], 3).tolist() == shows(numbers, 3).tolist()  # of a volume


def test_the_loss_of_the_head_is_added_worked_by_hand():
    """Presence 0.8 and 0.4 of classes of which the first is shown: -ln 0.8, -ln 0.6."""
    target = torch.zeros(1, 2, 4, 4)
    target[0, 0, 0, 0] = 1
    masks = torch.zeros(1, 2, 4, 4, requires_grad=True)
    presence = torch.tensor([[0.8, 0.4]]).logit().requires_grad_()
    criterion = WithPresence(Criterion("bce"), 0.5)
    loss, terms = criterion(Outputs(masks, presence), target)
    assert terms.keys() == {"bce", "presence"}
    assert terms["bce"].item() == pytest.approx(0.693147)
    assert terms["presence"].item() == pytest.approx(0.5 * (0.223144 + 0.510826) / 2, rel=1e-5)
    assert loss.item() == pytest.approx(sum(value.item() for value in terms.values()))
    loss.backward()
    assert presence.grad.tolist()[0] == pytest.approx([0.25 * (0.8 - 1), 0.25 * 0.4], rel=1e-5)
    plain, terms = criterion(masks, target)
    assert terms.keys() == {"bce"} and plain.item() == pytest.approx(0.693147)


def test_the_head_and_deep_supervision_go_together():
    target = torch.ones(2, 1, 4, 4)
    scales = [torch.full((2, 1, 4, 4), value) for value in (0.0, 2.0, 5.0)]
    outputs = Outputs(scales, torch.zeros(2, 1, dtype=torch.float16))
    criterion = WithPresence(Criterion("deep_supervision", loss="bce"), 2.0)
    loss, terms = criterion(outputs, target)
    assert set(terms) == {"scale0", "scale1", "scale2", "presence"}
    assert terms["presence"].item() == pytest.approx(2 * 0.693147) and torch.isfinite(loss)
    for given in (outputs, scales, scales[0], Outputs(scales[0], outputs.presence)):
        assert finest(given) is scales[0]
