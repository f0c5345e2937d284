"""The config of background reuse: one experiment, and what its binary twin does otherwise."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator

from gutseg.config import Config, validate
from gutseg.config.files import flat, put
from gutseg.data.sources import mode_of
from gutseg.settings import GivenPath, Name, Section
from gutseg.study.axes import OWN, check_key
from gutseg.study.grid import read_with_base

Stage = Literal["multiclass", "binary"]
STAGES: tuple[Stage, ...] = get_args(Stage)
# Sections of which a change that gives a name leaves nothing: parameters are of one component.
COMPONENTS = ("augment", "model", "loss")


class Network(Section):
    """One of the two networks."""

    # changes to the base for this network alone: config key -> value
    set: dict[str, Any] = Field({})
    # a run folder whose trained network is taken; null: it is trained here
    run: GivenPath | None = None


class TwoStage(Section):
    """A network that tells classes apart, and one that knows background and object alone."""

    name: Name
    # a config of one experiment, written out or as its file, relative to this one
    base: dict[str, Any]
    # changes to the base for both networks: config key -> value
    set: dict[str, Any] = Field({})
    # the network that tells the classes apart
    multiclass: Network = Network()
    # the network whose background is reused
    binary: Network = Network()
    # which of the two are trained, or taken from their run
    stages: Annotated[list[Stage], Field(list(STAGES), min_length=1)]
    # whether held-out images are predicted, measured and drawn; false: networks are only trained
    predict: bool = True
    # whether the background of the one is laid over the classes of the other
    combine: bool = True

    @field_validator("stages")
    @classmethod
    def _once(cls, stages: list[Stage]) -> list[Stage]:
        if len(set(stages)) < len(stages):
            raise ValueError(f"{', '.join(stages)}: a stage is listed twice")
        return stages

    def model_post_init(self, _: Any) -> None:
        """Check both experiments."""
        for where, given in self._changes():
            for key in given:
                if key in OWN:
                    raise ValueError(f"{where}: every stage has its own {key}; leave it out")
                check_key(key, where)
        for stage in STAGES:
            network: Network = getattr(self, stage)
            if network.run and network.set:
                raise ValueError(f"{stage}: run and set are given; a run keeps its own settings")
            source = self.experiment(stage, Path()).data.source
            if mode_of(source) == "multilabel":
                raise ValueError(
                    f"base: the classes of {source} may overlap; lay a background over its runs "
                    "with the option --background of gutseg blend or gutseg score"
                )

    def experiment(self, stage: Stage, folder: Path) -> Config:
        """Return what is trained for a stage, as the run folder/STAGE."""
        content = copy.deepcopy(self.base)
        own = {"name": stage, "runs": str(folder), "data.params.binary": stage == "binary"}
        for where, given in [*self._changes(), ("", own)]:
            for key, value in given.items() if where in ("", "set", f"{stage}.set") else ():
                put(content, key, copy.deepcopy(value))
        return validate(Config, content, stage)

    def _changes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the keys that take changes, with what they change."""
        yield "set", _dotted(self.set)
        for stage in STAGES:
            yield f"{stage}.set", _dotted(getattr(self, stage).set)


def _dotted(given: dict[str, Any]) -> dict[str, Any]:
    """Return changes by dotted key; a component that is named anew stays whole."""
    found: dict[str, Any] = {}
    for key, value in given.items():
        whole = key in COMPONENTS and isinstance(value, dict) and "name" in value
        found |= {key: value} if whole else flat({key: value})
    return found


def read_two_stage(path: Path, overrides: list[str] | None = None) -> TwoStage:
    """Read a config and apply `key=value` overrides, as in binary.set.loss.name=ce."""
    return validate(TwoStage, read_with_base(path, overrides), str(path))
