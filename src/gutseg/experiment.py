"""From a config to the objects it names; the only place that hands settings to components."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from gutseg import models
from gutseg.config import Config, load
from gutseg.config.losses import check_fit
from gutseg.constants import CLASSES
from gutseg.data import sources
from gutseg.data.folds import FULL, Held, assign, check_whole, chosen, fold_name, read_folds
from gutseg.data.inputs import Inputs
from gutseg.data.maps import Maps
from gutseg.data.selection import without_dropped
from gutseg.data.sources.competition import BINARY
from gutseg.data.sources.source import Source
from gutseg.engine import checkpoint, precision
from gutseg.engine.cpu_layers import quicken
from gutseg.engine.distributed import INITIAL, World, seed_everything
from gutseg.engine.learner import Learner
from gutseg.engine.memory import PeakMemory, keep_freed, warm_up
from gutseg.engine.optim import Schedule, optimizer
from gutseg.engine.presence import with_presence
from gutseg.engine.provenance import fold_identity
from gutseg.files import need_file
from gutseg.inference import dealing
from gutseg.inference.evaluate import batch_dice
from gutseg.inference.locator import Locator
from gutseg.inference.parts import Locate
from gutseg.inference.predictor import Predictor
from gutseg.inference.views import ViewPredictor
from gutseg.inference.volumes import VolumePredictor
from gutseg.losses import Criterion, with_class_weights
from gutseg.losses.weights import class_weights
from gutseg.models.initial_bias import set_initial_bias
from gutseg.models.packaged import encoder_file, packaged
from gutseg.models.presence import Gate
from gutseg.settings import MOST_FOLDS, EarlierDay

# in the folder of a fold whose window is found: a copy of the network that finds it
DETECTOR = "detector"
NO_DETECTOR = "it came with the training of that fold: copy it back, or train the fold again"


def inputs(config: Config) -> Inputs:
    """Return the settings of what the network sees."""
    channels = tuple(config.channels) if config.channels else None
    prior: EarlierDay | None = "given" if config.prior_day else None
    return Inputs(config.stack, config.scaling, config.geometry, channels, prior=prior)


def source(config: Config) -> Source:
    """Open the data."""
    return sources.read(config.data.source, config.data.folder, inputs(config), config.data.params)


def network(
    config: Config,
    channels: int,
    classes: int,
    *,
    published: bool = False,
    encoder: Mapping[str, torch.Tensor] | None = None,
) -> nn.Module:
    """Build the network for a checkpoint to fill: no file is read, nothing is downloaded.

    published: fetch the weights that model.params.encoder_weights names. encoder: weights of it.
    """
    asked, row = config.model, models.MODELS[config.model.name]
    built = models.build(asked.name, channels, classes, published=published, **asked.params)
    if encoder is not None:
        try:
            models.load_encoder(built, encoder)
        except ValueError as error:
            raise ValueError(f"model.encoder_weights {asked.encoder_weights}: {error}") from None
    norm = asked.input_norm == "on" or (asked.input_norm == "auto" and asked.is_pretrained)
    head = asked.presence
    built = models.extend(
        built,
        channels,
        classes,
        dims=asked.dims,
        levels=row.levels,
        deepest=row.deepest,
        attention=asked.attention.model_dump() if asked.attention else None,
        dropout=asked.dropout,
        input_norm=norm,
        masks=inputs(config).mask_channels,
        gate=Gate(head.gate, threshold=head.threshold) if head else None,
    )
    for module in built.modules():
        if isinstance(module, Gate):
            module.exclusive = sources.mode_of(config.data.source) == "multiclass"
    return built


def model(config: Config, channels: int, classes: int) -> nn.Module:
    """Build the network to be trained: published weights or a local file fill its encoder."""
    path, row = encoder_file(config.model.encoder_weights), packaged(config.model.encoder_weights)
    state = _read_weights(path) if path else None
    state = row.renamed(state) if row and state else state
    published = config.train.init_from is None
    return network(config, channels, classes, published=published, encoder=state)


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    remedy = "give an encoder's own file again"
    if path.suffix.lower() != ".safetensors":
        return checkpoint.load(path, remedy)
    return checkpoint.read_safetensors(path, remedy)


def rows(config: Config, data: Source) -> pd.DataFrame:
    """Return the index of the data with a column `fold`."""
    folds = config.data.folds
    if isinstance(folds, int):
        return data.index.assign(fold=data.draw_folds(folds, config.data.fold_seed))
    if "case" not in data.index:
        raise ValueError(
            f"data.folds: {folds} is a file, which divides the competition's cases; give "
            f"data.source {config.data.source} a number of folds, for example data.folds=5"
        )
    found = data.index.assign(fold=assign(data.index, read_folds(folds), folds))
    if config.prior_day:  # or contours that are held out would be an input of the training
        check_whole(found, "case", folds, "prior_day")
    if config.volume or config.view != "axial":
        check_whole(found, "scan", folds, "volume" if config.volume else f"view: {config.view}")
    return found


def fold_hash(config: Config, table: pd.DataFrame) -> str:
    """Return what identifies who is held out: a hash of the fold file, or of the drawn folds."""
    return fold_identity(config.data.folds, dict(zip(table["id"], table["fold"], strict=True)))


def chosen_folds(table: pd.DataFrame, wanted: str) -> list[Held]:
    """Return the folds that `--fold` names: a number, several (0,2), all, or full for no fold."""
    if wanted == FULL:
        return [FULL]
    known = sorted(table["fold"].unique().tolist())
    return [*chosen(wanted, known, "those with cases in the cache; full holds none out")]


def run_folder(config: Config, fold: Held) -> Path:
    """Return where a fold's weights and records lie."""
    return config.runs / config.name / fold_name(fold)


def stream(fold: Held) -> int:
    """Return what random numbers of a fold are drawn by; no fold has the number of FULL."""
    return MOST_FOLDS if fold == FULL else fold


def learner(
    config: Config, data: Source, loss: Criterion, batches: int, fold: Held, world: World
) -> Learner:
    """Build the network and everything that trains it; batches: of one epoch."""
    warm_up(world.device)
    memory = PeakMemory(world.device)
    # crops are drawn by (seed, fold, step), and so is all else that is random about them
    drawn = stream(fold) if config.crop or config.volume else 0
    seed_everything(config.seed, INITIAL, drawn)
    last = torch.channels_last if config.model.dims == 2 else torch.channels_last_3d
    layout = last if config.train.channels_last else torch.contiguous_format
    built = model(config, data.inputs.channels, len(data.classes))
    if config.model.initial_bias:
        table = without_dropped(rows(config, data), data, config.data.drop, fold)
        shares = data.class_shares(table[table["fold"] != fold])
        exclusive = data.mode == "multiclass"
        set_initial_bias(built, data.inputs.channels, shares, exclusive, config.model.dims)
    built = built.to(world.device).to(memory_format=layout)
    if world.device.type == "cpu":
        keep_freed()
        if layout is torch.channels_last:
            quicken(built, config.train.batch_size)
    return Learner(
        built,
        with_presence(loss, config.model.presence),
        optimizer(built, config.optim),
        Schedule.of(config.optim, config.train, batches),
        precision.choose(world.device, config.train.amp),
        world,
        config.train,
        seed=config.seed,
        stream=drawn,
        dice=partial(batch_dice, data) if config.train.tail else None,
        memory=memory,
    )


def criterion(
    config: Config, data: Source | None = None, table: pd.DataFrame | None = None
) -> Criterion:
    """Return the loss; data, table: of training, for class weights by name.

    A network with deep supervision is compared at every scale, paths of full size equally.
    """
    loss, params = config.loss, dict(config.loss.params)
    if data is not None:
        check_fit(loss, data.mode, len(data.classes))
        if loss.class_weights:
            shares = data.class_shares(table)
            weights = class_weights(loss.class_weights, shares, data.background)
            params = with_class_weights(loss.name, params, weights)
    row = models.MODELS[config.model.name]
    if loss.name == "deep_supervision":
        return Criterion(loss.name, **params)
    if config.model.params.get("deep_supervision", row.is_supervised):
        decay = {"decay": 1.0} if row.paths else {}
        mode = params.pop("mode", None)
        return Criterion("deep_supervision", mode=mode, loss=loss.name, params=params, **decay)
    return Criterion(loss.name, **params)


def maps(config: Config) -> Maps:
    """Return the maps that the loss weights pixels with."""
    return Maps(sorted(criterion(config).required_maps), config.loss.maps)


def as_predictor(
    config: Config,
    network: nn.Module,
    seen: Inputs,
    device: torch.device,
    *,
    tta: str | None = None,
    name: str = "the network",
    locate: Locate | None = None,
) -> Predictor:
    """Wrap a network for prediction as the config says; name: what errors call it."""
    make: Callable[..., Predictor] = Predictor
    if config.volume:
        make = partial(VolumePredictor, patching=config.volume)
    elif config.view != "axial":
        make = partial(ViewPredictor, view=config.view)
    return make(
        network,
        seen,
        config.predict.model_copy(update={"tta": tta or config.predict.tta}),
        device=device,
        dtype=precision.choose(device, config.train.amp).dtype,
        mode=sources.mode_of(config.data.source),
        name=name,
        whole=config.model.name if models.MODELS[config.model.name].whole else "",
        locate=locate,
    )


def load_predictor(
    folder: Path,
    config: Config,
    seen: Inputs,
    classes: Sequence[str],
    tta: str | None,
    place: torch.device | None = None,
) -> Predictor:
    """Fill a network with its weights; the encoder's published ones are not needed again.

    place: None is the GPU when there is one. Where its windows are found, its detector comes along.
    """
    path = checkpoint.weights_file(folder)
    built = network(config, seen.channels, len(classes))
    checkpoint.fill(built, checkpoint.weights(path), path)
    if config.model.dims == 2:  # a slice takes 20 to 60 % less time, on CPUs too
        built.to(memory_format=torch.channels_last)
    found = config.geometry.kind == "found"
    finder = locator(folder / DETECTOR, place) if found else None
    where = place or device()
    return as_predictor(config, built, seen, where, tta=tta, name=str(folder), locate=finder)


def locator(folder: Path, place: torch.device | None = None) -> Locator:
    """Load a network that finds windows; its looks are one, the image as it is."""
    config = load(need_file(folder / "config.yaml", NO_DETECTOR))
    network = load_predictor(folder, config, inputs(config), organs(config), "none", place)
    return Locator(network)


def organs(config: Config) -> tuple[str, ...]:
    """Return the classes of a network of the competition."""
    return BINARY if config.data.params["binary"] else CLASSES


def device() -> torch.device:
    """Return the GPU when there is one that torch can compute on."""
    return torch.device(dealing.devices(None)[0].type)
