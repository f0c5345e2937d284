"""Losses made of other rows of LOSSES, to any depth."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gutseg.losses.inputs import VOID, check_shapes
from gutseg.losses.reductions import Mode
from gutseg.registry import coerce
from gutseg.settings import Count, NotNegative, Share

# (a loss inside, its parameters, the config key where it stands) -> its parameters changed
Change = Callable[[str, dict, str], dict]

# What a term of a sum holds.
TERM = {"loss": str, "weight": NotNegative, "params": dict[str, Any] | None}


class WeightedSum:
    """Any losses added up with any weights. Source: [Tongji 2022] equation 3.6."""

    def __init__(self, *, terms: Sequence[dict], mode: Mode | None = None) -> None:
        """terms: [{loss: dice, weight: 1.0, params: {...}}, ...]; mode: for terms that take it.

        What a term adds is named by its loss, the second of a kind tversky_2.
        """
        from gutseg.losses import Criterion

        terms = self.within({"terms": terms}, "weighted_sum", lambda _, params, __: params)["terms"]
        # label -> the loss and its weight
        self.parts: dict[str, tuple[Criterion, float]] = {}
        seen: Counter[str] = Counter()
        for term in terms:
            seen[name := term["loss"]] += 1
            label = name if seen[name] == 1 else f"{name}_{seen[name]}"
            part = Criterion(name, mode=mode, **(term.get("params") or {}))
            self.parts[label] = part, term.get("weight", 1.0)
        parts = self.parts.values()
        self.required_maps = {key for criterion, _ in parts for key in criterion.required_maps}

    @staticmethod
    def within(params: dict, where: str, change: Change) -> dict:
        """Return the sum's parameters with those of its terms changed; where: their config key.

        Raises ValueError for what is not a term.
        """
        if not params["terms"]:
            raise ValueError(f"{where}.terms: weighted_sum needs at least one term")
        terms = []
        for number, term in enumerate(params["terms"]):
            place = f"{where}.terms.{number}"
            if set(term) - set(TERM) or "loss" not in term:
                raise ValueError(
                    f"{place}: unknown name {term.get('loss', '')!r}: a term is "
                    f"{{loss, weight, params}}, found {sorted(map(str, term))}"
                )
            term = {key: coerce(value, TERM[key], f"{place}.{key}") for key, value in term.items()}
            inside = change(term["loss"], term.get("params") or {}, place)
            terms.append(term | ({"params": inside} if inside else {}))
        if not any(term.get("weight", 1) for term in terms):
            raise ValueError(f"{where}.terms: all weights are 0; give at least one term a weight")
        return params | {"terms": terms}

    def __call__(self, logits: Tensor, target: Tensor, **extras: Tensor) -> dict[str, Tensor]:
        """Return every term's weighted value."""
        return {
            label: weight * criterion(logits, target, **extras)[0]
            for label, (criterion, weight) in self.parts.items()
        }


class DeepSupervision:
    """One loss at every output scale of a network, with more weight on finer scales."""

    def __init__(
        self,
        *,
        loss: str,
        params: dict | None = None,
        decay: Share = 0.5,
        coarsest: bool = False,
        mode: Mode | None = None,
    ) -> None:
        """loss, params: a row of LOSSES. decay: weight of a scale over the next finer one.

        The coarsest of several scales has weight 0 and the others add up to 1, as in nnU-Net; with
        `coarsest` it has its own, as in MONAI, and with decay 1, where all weigh the same, as the
        paths of U-Net++ [Zhou 2018] do.
        """
        from gutseg.losses import Criterion

        self.criterion = Criterion(loss, mode=mode, **(params or {}))
        self.required_maps = self.criterion.required_maps
        self.decay, self.coarsest = decay, coarsest or decay == 1

    @staticmethod
    def within(params: dict, where: str, change: Change) -> dict:
        """Return the parameters with those of the loss changed; where: their config key."""
        inside = change(params["loss"], params.get("params") or {}, where)
        return params | ({"params": inside} if inside else {})

    def __call__(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, **extras: Tensor
    ) -> dict[str, Tensor]:
        """Return one term a scale; logits: finest first. Coarse logits are brought to full size."""
        scales = [logits] if isinstance(logits, Tensor) else list(logits)
        weights = [self.decay**scale for scale in range(len(scales))]
        if len(weights) > 1 and not self.coarsest:
            weights[-1] = 0.0
        terms = {}
        for scale, (values, weight) in enumerate(zip(scales, weights, strict=True)):
            full = values
            if values.shape[2:] != scales[0].shape[2:]:
                mode = "bilinear" if values.dim() == 4 else "trilinear"
                full = functional.interpolate(
                    values.float(), scales[0].shape[2:], mode=mode, align_corners=False
                )
            loss = self.criterion(full, target, **extras)[0]
            terms[f"scale{scale}"] = weight / sum(weights) * loss
        return terms


class WorstNeighbours:
    """Any loss on logits of which every pixel has the worst of its neighbours of the same label.

    A hole of one pixel, or a speck, then costs as much as its whole neighbourhood.
    Source: [Valverde 2026] (same-class neighbour penalization, SCNP).
    """

    def __init__(
        self, *, loss: str, params: dict | None = None, reach: Count = 1, mode: Mode | None = None
    ) -> None:
        """loss, params: a row of LOSSES. reach: pixels on every side, 1 for windows of 3 x 3."""
        from gutseg.losses import Criterion

        self.criterion = Criterion(loss, mode=mode, **(params or {}))
        self.required_maps = self.criterion.required_maps
        self.reach = reach

    within = staticmethod(DeepSupervision.within)

    def __call__(self, logits: Tensor, target: Tensor, **extras: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss; ignored pixels are nobody's neighbours."""
        void, numbered = extras.get("ignore"), target.dim() < logits.dim()
        given = {"logits": logits, "target": target, "ignore": void}
        check_shapes(given, "multiclass" if numbered else "multilabel")
        wide = logits if logits.dtype == torch.float64 else logits.float()
        inside = target >= 0.5
        if numbered:
            numbers = target.long()
            void = numbers == VOID if void is None else void.bool() | (numbers == VOID)
            classes = torch.arange(logits.shape[1], device=logits.device)
            inside = numbers[:, None] == classes.view(-1, *[1] * (logits.dim() - 2))
        gone = torch.zeros_like(inside) if void is None else void.bool()[:, None]
        low = -self._highest(-wide, inside & ~gone)
        high = self._highest(wide, ~inside & ~gone)
        return self.criterion(torch.where(inside, low, high), target, **extras)[1]

    def _highest(self, values: Tensor, among: Tensor) -> Tensor:
        """Largest value `among` those within reach in the slice; elsewhere values stay."""
        flat, size = values.dim() == 4, (2 * self.reach + 1,) * 2
        masked = values.masked_fill(~among, torch.finfo(values.dtype).min)
        if flat:
            found = functional.max_pool2d(masked, size, 1, self.reach)
        else:
            padding = (0, self.reach, self.reach)
            found = functional.max_pool3d(masked, (1, *size), 1, padding)
        return torch.where(among, found, values)
