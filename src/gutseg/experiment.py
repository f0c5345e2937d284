"""From a config to the objects it names; the only place that hands settings to components."""

from pathlib import Path

import pandas as pd
import torch
from torch import nn

from gutseg import models
from gutseg.config import Config
from gutseg.constants import CLASSES
from gutseg.data.augment import Augmenter
from gutseg.data.cache import Cache
from gutseg.data.dataset import Samples
from gutseg.data.folds import assign, chosen, read_folds
from gutseg.data.inputs import Inputs
from gutseg.data.maps import Maps
from gutseg.data.sampler import BatchSampler
from gutseg.data.sources.competition import competition
from gutseg.engine import checkpoint, precision
from gutseg.engine.distributed import World
from gutseg.engine.loop import Learner
from gutseg.engine.optim import optimizer
from gutseg.engine.schedule import Schedule
from gutseg.files import need_file
from gutseg.inference.predictor import Predictor
from gutseg.losses import Criterion, with_class_weights
from gutseg.losses.weights import class_weights
from gutseg.registry import brief


def inputs(config: Config) -> Inputs:
    """Return the settings of what the network sees."""
    return Inputs(config.stack, config.scaling, config.geometry)


def network(config: Config, *, published: bool = False) -> nn.Module:
    """Build the network for a checkpoint to fill: no file is read, nothing is downloaded.

    published: fetch the weights that model.params.encoder_weights names.
    """
    name, params = config.model.name, config.model.params
    return models.build(name, config.stack.slices, len(CLASSES), published=published, **params)


def model(config: Config) -> nn.Module:
    """Build the network to be trained: published weights or a local file fill its encoder."""
    path, state = config.model.encoder_weights, None
    if path:
        state = _read_weights(need_file(path, "give a local .pth or .safetensors file"))
    built = network(config, published=True)
    if path:
        try:
            models.load_encoder(built, state)
        except ValueError as error:
            raise ValueError(f"model.encoder_weights {path}: {error}") from None
    return built


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    remedy = "give an encoder's own file again"
    if path.suffix.lower() != ".safetensors":
        return checkpoint.load(path, remedy)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    # KeyError for a type of numbers that torch does not have
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        raise ValueError(
            f"{path} is not a readable safetensors ({brief(error)}); {remedy}"
        ) from None


def opened(config: Config) -> tuple[Cache, pd.DataFrame]:
    """Return the cache and the rows of its index that are used, with a column `fold`."""
    data, train = config.data, config.train
    if data.source != "competition" or config.crop or config.channels or not train.epochs:
        raise ValueError(
            "only whole slices of the source 'competition' can be trained yet, for a number of "
            "epochs; leave data.source, crop, channels, train.steps and train.seconds out"
        )
    if isinstance(data.folds, int):
        raise ValueError(
            f"data.folds: {data.folds}, but the competition's folds are a file; "
            "make one with gutseg split"
        )
    cache, index = competition(data.folder, **data.params)
    return cache, index.assign(fold=assign(index, read_folds(data.folds), data.folds))


def chosen_folds(table: pd.DataFrame, wanted: str) -> list[int]:
    """Return the folds that `--fold` names: a number, several (0,2) or all."""
    return chosen(wanted, sorted(table["fold"].unique().tolist()), "those with cases in the cache")


def run_folder(config: Config, fold: int) -> Path:
    """Return where a fold's weights and records lie."""
    return config.runs / config.name / f"fold{fold}"


def samples(config: Config, cache: Cache, table: pd.DataFrame) -> Samples:
    """Return the training samples of the rows."""
    augment = Augmenter(config.augment.name, **config.augment.params)
    return Samples(cache, table, inputs(config), augment, maps(config))


def sampler(config: Config, source: Samples, world: World) -> BatchSampler:
    """Return the order in which an epoch takes the samples."""
    return BatchSampler(
        source.has_label,
        config.train.batch_size,
        seed=config.seed,
        empty_share=config.data.empty_share,
        steps=config.train.steps_per_epoch,
        rank=world.rank,
        world_size=world.size,
    )


def learner(config: Config, loss: Criterion, batches: int, world: World) -> Learner:
    """Build the network and everything that trains it; batches: of one epoch."""
    layout = torch.channels_last if config.train.channels_last else torch.contiguous_format
    built = model(config).to(world.device, memory_format=layout)
    steps = -(-batches // config.train.accumulate)  # the last, shorter group is a step too
    return Learner(
        built,
        loss,
        optimizer(built, config.optim),
        Schedule(
            config.optim,
            steps=steps * config.train.epochs,
            warmup_steps=round(steps * config.optim.warmup_epochs),
        ),
        precision.choose(world.device, config.train.amp),
        world,
        config.train,
        seed=config.seed,
    )


def criterion(config: Config, source: Samples | None = None) -> Criterion:
    """Return the loss; source: the training samples, for class weights by name."""
    params = dict(config.loss.params)
    if config.loss.class_weights and source:
        shares = source.cache.class_shares(source.rows)
        weights = class_weights(config.loss.class_weights, shares)
        params = with_class_weights(config.loss.name, params, weights)
    return Criterion(config.loss.name, **params)


def maps(config: Config) -> Maps:
    """Return the maps that the loss weighs pixels with."""
    return Maps(sorted(criterion(config).required_maps), config.loss.maps)


def as_predictor(
    config: Config,
    network: nn.Module,
    device: torch.device,
    *,
    tta: str | None = None,
    name: str = "the network",
) -> Predictor:
    """Wrap a network for prediction as the config says; name: what errors call it."""
    return Predictor(
        network,
        inputs(config),
        config.predict.model_copy(update={"tta": tta or config.predict.tta}),
        device=device,
        dtype=precision.choose(device, config.train.amp).dtype,
        name=name,
    )


def device() -> torch.device:
    """Return the GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
