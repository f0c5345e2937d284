"""One YAML per experiment: every section with its defaults, ranges and checks."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gutseg.constants import BLACKLISTS
from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.index import SCAN_FOLDER
from gutseg.losses import LOSSES
from gutseg.models import MODELS
from gutseg.paths import need_file, replacing
from gutseg.registry import Spec, check, suggest

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the config; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


AnySection = TypeVar("AnySection", bound=Section)


class Stack(Section):
    """The neighbouring slices that become channels."""

    slices: Literal[1, 3, 5, 7] = 5
    stride: Literal[1, 2, 3] = 1
    edge: Literal["clamp", "reflect", "blank"] = "clamp"


class Scaling(Section):
    """How 16-bit grey values become [0, 1]; low and high are percentiles of the scan."""

    kind: Literal["stack", "scan", "percentile"] = "percentile"
    low: Annotated[float, Field(ge=0, lt=100)] = 1.0
    high: Annotated[float, Field(gt=0, le=100)] = 99.5


class Geometry(Section):
    """How native slices become the network's input size (height, width)."""

    kind: Literal["resize", "pad", "body"] = "resize"
    size: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] = (320, 384)
    margin: Annotated[int, Field(ge=0)] = 8


class Data(Section):
    """Where the slices come from and which of them an epoch sees."""

    cache: Path = Path("cache")
    folds: Path = Path("folds/organs_5fold.csv")
    blacklist: list[str] = []
    empty_share: Share = 1.0

    @field_validator("blacklist")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in BLACKLISTS and not SCAN_FOLDER.fullmatch(name):
                raise ValueError(
                    f"{name!r} is neither a scan (case7_day0) nor a list; "
                    f"{suggest(name, list(BLACKLISTS))}"
                )
        return names

    @property
    def excluded(self) -> set[str]:
        """The scans that the blacklist names, directly or by list."""
        return {scan for name in self.blacklist for scan in BLACKLISTS.get(name, (name,))}


class Component(Section):
    """A row of a table of components and its parameters."""

    name: str
    params: dict[str, Any] = {}


class Model(Component):
    """The network; encoder_weights is a local file, nothing is ever fetched for it."""

    name: str = "hybrid4"
    encoder_weights: Path | None = None


class Optimizer(Section):
    """Adam, AdamW or SGD; the learning rate is a pure function of the step."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    momentum: Share = 0.9
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    final_lr: Share = 0.01
    power: Positive = 0.9


class Train(Section):
    """The loop: budget, batches, stopping, averaging, precision."""

    epochs: Count = 40
    steps_per_epoch: Count | None = None
    batch_size: Count = 16
    accumulate: Count = 1
    clip_norm: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    patience: Count | None = None
    monitor: Literal["score", "dice", "val_loss"] = "score"
    score_every: Count = 1
    amp: bool = True
    channels_last: bool = False
    compile: bool = False
    workers: Annotated[int, Field(ge=0)] = 0
    tensorboard: bool = True
    wandb: bool = False


class Predict(Section):
    """Inference: flips whose predictions are averaged."""

    batch_size: Count = 16
    tta: Literal["none", "hflip", "flips"] = "none"


class Config(Section):
    """A whole experiment."""

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    runs: Path = Path("runs")
    data: Data = Data()
    stack: Stack = Stack()
    scaling: Scaling = Scaling()
    geometry: Geometry = Geometry()
    augment: Component = Component(name="none")
    model: Model = Model()
    loss: Component = Component(name="bce_dice")
    optim: Optimizer = Optimizer()
    train: Train = Train()
    predict: Predict = Predict()

    def model_post_init(self, _: Any) -> None:
        """Check the components' names and parameters against their tables."""
        tables = (("augment", AUGMENTATIONS), ("model", MODELS), ("loss", LOSSES))
        for key, table in tables:
            _check_component(table, getattr(self, key), key)


class Member(Section):
    """A trained run in a blend; its folds are averaged. run: relative to the blend's file."""

    run: Path
    folds: Annotated[list[int], Field(min_length=1)]
    weight: Positive = 1.0
    tta: Literal["none", "hflip", "flips"] = "none"


class OrganRule(Section):
    """How one class becomes a mask; see gutseg.inference.postprocess.Rule."""

    threshold: Share = 0.5
    smallest: Annotated[int, Field(ge=0)] = 0
    gate: Share = 0.0


class Rules(Section):
    """One rule a class."""

    large_bowel: OrganRule = OrganRule()
    small_bowel: OrganRule = OrganRule()
    stomach: OrganRule = OrganRule()


class Blend(Section):
    """What submit needs beside images and weights; score: out of fold, under metric."""

    members: Annotated[list[Member], Field(min_length=1)]
    rules: Rules = Rules()
    metric: str = "default"
    score: float | None = None


def _check_component(table: dict[str, Spec], component: Component, key: str) -> None:
    params = check(table, component.name, component.params, where=key)
    component.params.update(params)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 floats: PyYAML would read 3e-4 as a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf)|\.(nan|NaN))$"),
    list("-+0123456789."),
)


def parse(text: str) -> Any:
    """Read YAML in which 3e-4 is a number."""
    return yaml.load(text, Loader=_Loader)


def load(path: Path, overrides: list[str] | None = None) -> Config:
    """Read an experiment and apply `key=value` overrides such as `train.epochs=3`.

    Raises ValueError naming the key, what was found and the choices.
    """
    content = {"name": path.stem} | _read(path)
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ValueError(f"{override!r} is not of the form key=value, as in train.epochs=3")
        _set(content, key.split("."), parse(value), override)
    return validate(Config, content, str(path))


def load_blend(path: Path) -> Blend:
    """Read a blend.yaml."""
    return validate(Blend, _read(path), str(path))


def _read(path: Path) -> dict:
    need_file(path, "give a YAML file, for example configs/demo.yaml")
    try:
        content = parse(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no `key: value` lines")
    return content


def _set(content: dict, keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
        if not isinstance(content, dict):
            raise ValueError(f"{override!r}: {key} is a value, not a section")
    content[keys[-1]] = value


def validate(kind: type[AnySection], content: dict, where: str) -> AnySection:
    """Build a section from plain values; where names the source in errors."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_explain(kind, problem) for problem in error.errors())
        raise ValueError(f"{where}: {problems}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _explain(kind: type[Section], problem: dict) -> str:
    location = problem["loc"]
    key = ".".join(map(str, location))
    if problem["type"] == "value_error":  # raised by a check of our own
        return f"{key}: {problem['ctx']['error']}" if key else str(problem["ctx"]["error"])
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg']}, found {problem['input']!r}"
    for part in location[:-1]:
        if part in kind.model_fields:
            inner = kind.model_fields[part].annotation
            kind = (get_args(inner) or (inner,))[0]
    return f"{key}: unknown key; {suggest(location[-1], list(kind.model_fields))}"


def dump(section: Section, path: Path) -> None:
    """Write a resolved config or blend, every default spelled out."""
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(section.model_dump(mode="json"), sort_keys=False))
