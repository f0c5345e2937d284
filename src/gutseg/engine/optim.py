"""Optimisers; biases and normalisation layers are not decayed."""

from torch import nn, optim


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
