"""What an epoch of an experiment sees: its batches, and the order in which they are taken."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gutseg import experiment
from gutseg.config import Config
from gutseg.data.augment import Augmenter
from gutseg.data.batches import Crops, Whole
from gutseg.data.folds import Held
from gutseg.data.organ_box import organ_box
from gutseg.data.patches import Patches
from gutseg.data.sampler import (
    BatchSampler,
    Endless,
    Growth,
    StepSampler,
    WeightedStepSampler,
)
from gutseg.data.selection import draw_weights
from gutseg.data.sources.source import Source
from gutseg.data.view import AXES
from gutseg.engine.distributed import World
from gutseg.inference.hard_slices import HardSlices


def with_organ_box(config: Config, seen: Source, planes: pd.DataFrame) -> Config:
    """Return the config with the box of the organs on the planes that are trained on."""
    geometry = config.geometry.model_copy(update={"box": organ_box(seen, planes)})
    return config.model_copy(update={"geometry": geometry})


def batches(
    config: Config, data: Source, table: pd.DataFrame, fold: Held
) -> Whole | Crops | Patches:
    """Return the batches of training rows; fold: the one that is held out."""
    augment = Augmenter(config.augment.name, **config.augment.params)
    drawn: dict[str, Any] = {
        "batch_size": config.train.batch_size,
        "seed": config.seed,
        "fold": experiment.stream(fold),
        "augment": augment,
        "maps": experiment.maps(config),
    }
    if config.volume:
        return Patches(data, table, config.volume, **drawn)
    if config.crop is None:
        return Whole(data, table, augment, experiment.maps(config), config.mix, config.prior_day)
    # planes with an object, and a share of the others, drawn once
    seen = data.shows_object(table).copy()
    empty = np.random.default_rng(config.seed).permutation(np.flatnonzero(~seen))
    seen[empty[: round(config.data.empty_share * len(empty))]] = True
    return Crops(data, table[seen], config.crop, **drawn, mix=config.mix, prior=config.prior_day)


def sampler(
    config: Config, made: Whole | Crops | Patches, world: World
) -> BatchSampler | StepSampler | Endless:
    """Return the order in which an epoch takes the batches."""
    train, ranks = config.train, {"rank": world.rank, "world_size": world.size}
    steps = train.steps_per_epoch or (train.steps and train.steps * train.accumulate)
    factors = config.data.oversample or {}
    is_even = not factors and not config.data.hard
    weights = None if is_even else draw_weights(made.rows, made.source, factors)
    found: StepSampler | BatchSampler
    if not isinstance(made, Whole):
        # as many crops as there are images, as many patches as cover the scans
        number = made.count if isinstance(made, Patches) else len(made.rows)
        steps = steps or -(-number // (train.batch_size * world.size))
        if weights is None:
            found = StepSampler(steps, **ranks)
        else:
            draw = (made.seed, made.fold)
            found = WeightedStepSampler(steps, weights, made.batch_size, draw, **ranks)
    else:
        found = BatchSampler(
            made.source.shows_object(made.rows),
            train.batch_size,
            seed=config.seed,
            empty_share=config.data.empty_share,
            steps=steps,
            weights=weights,
            **ranks,
        )
    if stages := train.progressive:
        budget = train.steps and train.steps * train.accumulate
        found.growth = Growth(stages, budget or (train.epochs and train.epochs * len(found)))
    return Endless(found) if train.seconds and not train.steps_per_epoch else found


def hard_slices(
    config: Config,
    data: Source,
    training: pd.DataFrame,
    made: Whole | Crops | Patches,
    order: BatchSampler | StepSampler | Endless,
    world: World,
) -> HardSlices | None:
    """Return what draws slices of large errors more often; training: rows of the data's index."""
    if config.data.hard is None:
        return None
    seen, place = data.inputs, world.device
    return HardSlices(
        config.data.hard,
        data,
        training,
        partial(experiment.as_predictor, config, seen=seen, device=place, tta="none"),
        order,
        made.rows,
        axis=AXES[config.view][0],
        rank=world.rank,
        world_size=world.size,
        all_reduce=world.all_reduce,
    )
