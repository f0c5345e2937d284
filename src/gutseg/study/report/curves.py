"""Value and gradient of losses over one parameter, on a toy prediction, without training."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from gutseg.data.maps import Maps
from gutseg.losses.boundary import boundary_aware
from gutseg.losses.generalised import penalty_generalised_dice
from gutseg.losses.region import focal_dice, focal_tversky, tversky
from gutseg.reporting.markdown import number, table
from gutseg.study.report.figures import parameter_curves
from gutseg.study.report.view import View

SIDE, OBJECT, BAND = 32, slice(12, 20), 2
SHOWN = (0.1, 0.5, 0.9)
SWEEP = tuple(np.linspace(0.02, 0.98, 49))


def _truth() -> Tensor:
    """A square of 8 × 8 pixels in the middle of 32 × 32: (B, C, H, W)."""
    truth = torch.zeros(1, 1, SIDE, SIDE)
    truth[..., OBJECT, OBJECT] = 1
    return truth


def _edge() -> Tensor:
    return Maps(["band"], {"band": {"width": BAND}}).tensors(_truth().numpy())["band"]


def toy(right: Tensor) -> Tensor:
    """Return logits (B, C, H, W) that are right with a probability in (0, 1) at the edge.

    Elsewhere the probability is half way from it to 1, for edges are what networks get wrong.
    """
    truth = _truth()
    chance = torch.where(_edge(), right, (1 + right) / 2)
    return torch.logit(chance) * (2 * truth - 1)


def value_and_gradient(loss: Callable[..., Tensor], right: float) -> tuple[float, float]:
    """Return a loss on the toy prediction and its derivative by the probability."""
    chance = torch.tensor(right, requires_grad=True)
    value = loss(toy(chance), _truth())
    (gradient,) = torch.autograd.grad(value, chance)
    return value.item(), gradient.item()


def _tversky(beta: float) -> Callable[..., Tensor]:
    return partial(tversky, alpha=1 - beta, beta=beta)


def _boundary(weight: float) -> Callable[..., Tensor]:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return boundary_aware(logits, target, _edge(), boundary=weight, interior=1 - weight)

    return loss


# Name of loss and parameter -> what builds it, the values; survey 004's own is among them.
FAMILIES = {
    "tversky β": (_tversky, (0.3, 0.5, 0.7, 0.9)),
    "focal_tversky γ": (lambda gamma: partial(focal_tversky, gamma=gamma), (1.0, 4 / 3, 2.0, 3.0)),
    "focal_dice β": (lambda beta: partial(focal_dice, beta=beta), (1.0, 1.5, 2.0, 3.0)),
    "penalty_generalised_dice k": (
        lambda k: partial(penalty_generalised_dice, k=k),
        (0.0, 1.0, 2.5, 5.0),
    ),
    "boundary_aware boundary": (_boundary, (0.3, 0.5, 0.7, 0.9)),
}


def curves(view: View) -> str:
    """Losses × values of a parameter: value and gradient at three qualities of prediction."""
    rows, drawn = [], {}
    for name, (build, values) in FAMILIES.items():
        for value in values:
            found = [number(part) for q in SHOWN for part in value_and_gradient(build(value), q)]
            rows.append([name, f"{value:.3g}", *found])
        drawn[name] = {
            f"{value:.3g}": np.array([value_and_gradient(build(value), q) for q in SWEEP])
            for value in values
        }
    parameter_curves(view.folder / "curves.png", SWEEP, drawn)
    head = [f"{part} at {q:g}" for q in SHOWN for part in ("value", "gradient")]
    note = (
        f"Nothing is trained: an object of 8 × 8 in {SIDE} × {SIDE} pixels, predicted right with "
        f"probability q within {BAND} pixels of its edge and (1 + q)/2 elsewhere; the gradient is "
        "by q. Tversky's α is 1 − β, the interior's weight 1 − that of the boundary."
    )
    shown = table(["loss", "parameter", *head], rows)
    return "\n\n".join([note, shown, "![value and gradient](curves.png)"])
