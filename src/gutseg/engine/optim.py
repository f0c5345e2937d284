"""Optimisers; biases and normalisation layers are not decayed."""

from torch import Tensor, nn, optim


def optimizer(
    model: nn.Module,
    name: str,
    *,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
) -> optim.Optimizer:
    """Build adam, adamw or sgd (Nesterov) over two groups: decayed and not.

    momentum: of sgd, and the first beta of adam and adamw.
    """
    trained = [weights for weights in model.parameters() if weights.requires_grad]
    groups = [
        {"params": [w for w in trained if w.dim() > 1], "weight_decay": weight_decay},
        {"params": [w for w in trained if w.dim() <= 1], "weight_decay": 0.0},
    ]
    if name == "sgd":
        return optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0)
    kind = {"adam": optim.Adam, "adamw": optim.AdamW}[name]
    return kind(groups, lr=lr, betas=(momentum, 0.999))


def has_moments(optimizer: optim.Optimizer) -> bool:
    """Say whether the means that an optimiser keeps from its first step on are there and fit."""
    names = ("exp_avg", "exp_avg_sq")
    if isinstance(optimizer, optim.SGD):
        names = ("momentum_buffer",) if optimizer.param_groups[0]["momentum"] else ()
    # a weight that never had a gradient has none
    kept = [(weight, means) for weight, means in optimizer.state.items() if means]
    fitting = all(
        isinstance(means.get(name), Tensor) and means[name].shape == weight.shape
        for weight, means in kept
        for name in names
    )
    return fitting and (bool(kept) or not names)
