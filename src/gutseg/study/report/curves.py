"""Value and gradient of losses over one parameter, on a toy prediction, without training."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gutseg.data.maps import Maps
from gutseg.losses import Criterion
from gutseg.reporting.tables import markdown, number
from gutseg.study.report.figures import parameter_curves
from gutseg.study.report.view import View

SIDE, OBJECT, BAND = 32, slice(12, 20), 2
SHOWN = (0.1, 0.5, 0.9)
SWEEP = tuple(np.linspace(0.02, 0.98, 49))

# Loss, Greek letter or name of its parameter -> what a value sets, the values; the default of
# the loss, or the value of [Chen 2023], is among them.
FAMILIES: dict[tuple[str, str], tuple[Callable[[float], Mapping[str, float]], tuple]] = {
    ("tversky", "β"): (lambda beta: {"alpha": 1 - beta, "beta": beta}, (0.3, 0.5, 0.7, 0.9)),
    ("focal_tversky", "γ"): (lambda gamma: {"gamma": gamma}, (1.0, 4 / 3, 2.0, 3.0)),
    ("focal_dice", "β"): (lambda beta: {"beta": beta}, (1.0, 1.5, 2.0, 3.0)),
    ("penalty_generalised_dice", "k"): (lambda k: {"k": k}, (0.0, 1.0, 2.5, 5.0)),
    ("boundary_aware", "boundary"): (
        lambda weight: {"boundary": weight, "interior": 1 - weight},
        (0.3, 0.5, 0.7, 0.9),
    ),
}


# A square of 8 × 8 pixels in the middle of 32 × 32, (B, C, H, W), and the pixels near its edge.
TRUTH = torch.zeros(1, 1, SIDE, SIDE)
TRUTH[..., OBJECT, OBJECT] = 1
EDGE = Maps(["band"], {"band": {"width": BAND}}).tensors(TRUTH.numpy())["band"]


def toy(correct: Tensor) -> Tensor:
    """Return logits (B, C, H, W) that are correct with a probability in (0, 1) at the edge.

    Elsewhere the probability is halfway from there to 1: networks err at edges.
    """
    chance = torch.where(EDGE, correct, (1 + correct) / 2)
    return torch.logit(chance) * (2 * TRUTH - 1)


def value_and_gradient(loss: str, correct: float, **params: Any) -> tuple[float, float]:
    """Return a loss on the toy prediction and its derivative by the probability."""
    chance = torch.tensor(correct, requires_grad=True)
    value, _ = Criterion(loss, **params)(toy(chance), TRUTH, band=EDGE)
    (gradient,) = torch.autograd.grad(value, chance)
    return value.item(), gradient.item()


def curves(view: View) -> str:
    """Losses × values of a parameter: value and gradient at three qualities of prediction."""
    rows, drawn = [], {}
    for (loss, parameter), (params, values) in FAMILIES.items():
        name = f"{loss} {parameter}"
        for value in values:
            found = [value_and_gradient(loss, q, **params(value)) for q in SHOWN]
            rows.append([name, f"{value:.3g}", *(number(part) for pair in found for part in pair)])
        drawn[name] = {
            f"{value:.3g}": np.array([value_and_gradient(loss, q, **params(value)) for q in SWEEP])
            for value in values
        }
    parameter_curves(view.folder / "curves.png", SWEEP, drawn)
    head = [f"{part} at {q:g}" for q in SHOWN for part in ("value", "gradient")]
    note = (
        f"Nothing is trained. An object of 8 × 8 in {SIDE} × {SIDE} pixels is predicted correctly "
        f"with probability q within {BAND} pixels of its edge and (1 + q)/2 elsewhere; the "
        "gradient is by q. Tversky's α is 1 − β, the interior's weight 1 − that of the boundary."
    )
    shown = markdown(["loss", "parameter", *head], rows)
    return "\n\n".join([note, shown, "![value and gradient](curves.png)"])
