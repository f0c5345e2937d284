"""How a network is trained: the optimiser and the loop."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from gutseg.settings import Count, GivenPath, Natural, Positive, Section, Share, Side


def _as_tuples(stage: Any) -> Any:
    """Lists become tuples: a validator of the whole section has made them Python's."""
    if isinstance(stage, list) and len(stage) == 2 and isinstance(stage[1], list):
        return stage[0], tuple(stage[1])
    return stage


# a share of the budget, and a size (height, width)
Stage = Annotated[tuple[Share, tuple[Side, Side]], BeforeValidator(_as_tuples)]


class Optim(Section):
    """The optimiser; the learning rate is a pure function of the step."""

    # sgd is with Nesterov momentum
    name: Literal["adam", "adamw", "sgd"] = "adamw"
    # the highest learning rate; float32, in which the optimiser computes, ends at 3e38
    lr: Annotated[float, Field(gt=0, le=1e6)] = 1e-3
    # not of biases and normalisation layers
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.01
    # of sgd; the first beta of adam and adamw
    momentum: Share = 0.9
    # how the learning rate falls after the warm-up; one_cycle has its own: it rises from a 25th by
    # half a cosine over the first three tenths and falls by another
    schedule: Literal["cosine", "poly", "constant", "one_cycle"] = "cosine"
    # the learning rate rises linearly over so many epochs, which need not be whole
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    # the last learning rate over the highest; not of schedule constant
    final_lr_ratio: Share = 0.01
    # the encoder's learning rate over that of the rest, for encoders that were trained before
    encoder_lr_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    # the encoder's weights stay for so many epochs, which need not be whole (a share of a budget of
    # seconds, or of steps without train.steps_per_epoch); batch statistics go on
    frozen_epochs: Annotated[float, Field(ge=0)] = 0.0
    # of schedule poly alone: exponent of the share of training that is left
    power: Positive = 0.9

    @property
    def tells_encoder_apart(self) -> bool:
        """Whether the encoder has learning rates of its own."""
        return self.encoder_lr_ratio < 1 or self.frozen_epochs > 0

    @model_validator(mode="after")
    def _one_warmup(self) -> "Optim":
        if self.schedule == "one_cycle" and self.warmup_epochs:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs:g}, but schedule one_cycle has its own; give 0"
            )
        return self


class Train(Section):
    """The loop: budget, batches, stopping, averaging, precision.

    Exactly one of epochs, steps and seconds is given, epochs where none is.
    """

    # a run of the same network whose weights are the first ones: its folder (fold by fold), that of
    # one fold, or a file of weights; null: fresh ones
    init_from: GivenPath | None = None
    # budget: how often all training images are seen, 40 times when no other budget is given
    epochs: Count | None = None
    # budget: optimiser steps
    steps: Count | None = None
    # budget: seconds of training
    seconds: Positive | None = None
    # batches between two validations; null: one epoch's, or the whole budget of steps or seconds
    steps_per_epoch: Count | None = None
    # images of a batch, in every process
    batch_size: Count = 16
    # sizes of the training images, or of crops, by the share of the budget from which they hold, as
    # [[0, [64, 96]], [0.5, [96, 128]]]; the last one is that of predictions; null: one size
    progressive: Annotated[list[Stage], Field(min_length=2)] | None = None
    # batches whose gradients are averaged for one optimiser step
    accumulate: Count = 1
    # longer gradients are shortened to this length; null: never
    clip_norm: Positive | None = None
    # decay of a moving average of the weights, which is then what is kept; null: none
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    # the weights after every step from this share of the budget on are averaged, all alike, and the
    # mean is kept (SWA); with monitor null, since the last epoch alone has all of it; null: none
    average_from: Annotated[float, Field(ge=0, lt=1)] | None = None
    # measured epochs without a better monitored value after which training stops; null: never
    patience: Count | None = None
    # the column of metrics.csv that chooses the best epoch: val_loss, pooled.iou, pooled.dice_fg,
    # ...; with volumes also score, dice, dice_shown (of slices that show the class), iou, accuracy
    # and hausdorff; null: the last one is kept
    monitor: str | None = "score"
    # epochs between two computations of the distances that the score needs
    score_every: Count = 1
    # the last batches whose Dice is kept, as quartiles
    tail: Natural = 0
    # mixed precision where the device has it
    amp: bool = True
    # memory format; on a CPU a step takes a quarter less time with it
    channels_last: bool = False
    # torch.compile
    compile: bool = False
    # processes that make batches; 0: none but this one
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    # also write the metrics for TensorBoard
    tensorboard: bool = True
    # also send the metrics to Weights & Biases
    wandb: bool = False

    @model_validator(mode="before")
    @classmethod
    def _one_budget(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        budgets = ("epochs", "steps", "seconds")
        given = [key for key in budgets if content.get(key) is not None]
        if len(given) > 1:
            both = " and ".join(f"{key} {content[key]}" for key in given)
            raise ValueError(f"{both} are given; give exactly one, set the other to null")
        if not given and any(key in content for key in budgets):
            raise ValueError(f"{', '.join(budgets)}: all are null; give one of them")
        return content if given else content | {"epochs": 40}

    @model_validator(mode="after")
    def _rising(self) -> "Train":
        starts = [start for start, _ in self.progressive or []]
        if any(starts[:1]) or sorted(set(starts)) != starts:
            raise ValueError(
                f"progressive: its sizes hold from {', '.join(f'{start:g}' for start in starts)} "
                "on; expected shares of the budget that rise from 0"
            )
        return self

    @model_validator(mode="after")
    def _measured(self) -> "Train":
        if self.ema and self.average_from is not None:
            raise ValueError(
                f"ema: {self.ema:g} and average_from: {self.average_from:g} are two averages; give "
                "one of them"
            )
        if self.average_from is not None and (self.monitor or self.patience):
            raise ValueError(
                f"average_from: {self.average_from:g} keeps the mean at the training's end, but "
                "train.monitor and train.patience choose an epoch; set both to null"
            )
        if self.patience and self.monitor is None:
            raise ValueError(
                f"patience: {self.patience} counts epochs without a better train.monitor, which is "
                "null; give one of the two"
            )
        return self
