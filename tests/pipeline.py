"""One small run of the whole job, shared by the tests of the verbs."""

from dataclasses import dataclass
from pathlib import Path

from gutseg.blend import blend
from gutseg.predict import predict
from gutseg.split import split
from gutseg.train import train

TINY = """
geometry: {kind: pad, size: [48, 64]}
stack: {slices: 3}
model: {name: unet, params: {widths: [8, 16, 16], norm: batch}}
loss: {name: bce_dice, params: {dice_weight: 2.0}}
optim: {lr: 2e-2}
train: {epochs: 3, steps_per_epoch: 25, batch_size: 4, tensorboard: false}
"""


@dataclass(frozen=True)
class Run:
    """Where everything of the run lies."""

    raw: Path
    cache: Path
    folds: Path
    config: Path
    run: Path
    blend: Path

    @property
    def overrides(self) -> list[str]:
        """What points the config at this run's folders."""
        places = {"data.folder": self.cache, "data.folds": self.folds, "runs": self.run.parent}
        return [f"{key}={value}" for key, value in places.items()]


def run_all(cache: Path, folder: Path) -> Run:
    """Train two folds on a prepared cache, predict and blend."""
    made = Run(
        raw=cache.parent / "raw",
        cache=cache,
        folds=folder / "folds.csv",
        config=folder / "tiny.yaml",
        run=folder / "runs" / "tiny",
        blend=folder / "blend" / "blend.yaml",
    )
    made.config.write_text(TINY)
    split(cache, made.folds, folds=2)
    train(made.config, made.overrides)
    predict(made.run)
    blend([made.run], made.blend.parent, trials=10)
    return made
