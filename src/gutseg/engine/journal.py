"""The record of a run: metrics.csv, TensorBoard, Weights & Biases; each epoch once in all three."""

import secrets
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.tensorboard import SummaryWriter

from gutseg.files import read_json, replacing, write_json

# in the run folder: the name under which W&B resumes the run
WANDB = "wandb_run.json"

History = list[dict[str, float]]


class Journal:
    """Writes one row an epoch; the csv is rewritten whole, so it never runs ahead of last.pt."""

    def __init__(
        self, folder: Path, *, tensorboard: bool = True, wandb: dict[str, Any] | None = None
    ) -> None:
        """wandb: keyword arguments of wandb.init; None leaves it out.

        Raises ValueError when W&B is asked for and not installed.
        """
        self.folder, self.tensorboard = folder, tensorboard
        self.board: SummaryWriter | None = None
        self.run = None
        # rows of the history that W&B has
        self.sent = 0
        if wandb is not None:
            try:
                from wandb import init
            except ImportError:
                raise ValueError(
                    "train.wandb is on but wandb is not installed; pip install 'gutseg[track]' "
                    "or set train.wandb=false"
                ) from None
            # offline, or where somebody deleted the run, its step is 0 and it gets every epoch: of
            # two offline runs of one id the one synced last replaces the other (wandb issue 5865)
            self.run = init(**wandb, id=_wandb_id(folder / WANDB), resume="allow")
            self.sent = self.run.step

    def resume(self, history: History) -> None:
        """Record what a killed process left out: it may have died between last.pt and this."""
        if history:
            self.write(history)

    def write(self, history: History) -> None:
        """Record the last row of the history; metrics.csv gets all of it, W&B what it lacks."""
        with replacing(self.folder / "metrics.csv") as temporary:
            pd.DataFrame(history).to_csv(temporary, index=False)
        row = history[-1]
        if self.tensorboard and not self.board:
            # what an earlier process wrote of this epoch and of later ones is hidden
            place = str(self.folder / "tensorboard")
            self.board = SummaryWriter(place, purge_step=len(history) - 1)
        if self.board:
            for key, value in row.items():
                self.board.add_scalar(key, value, row["epoch"])
            self.board.flush()
        if self.run:
            for row in history[self.sent :]:
                self.run.log(row, step=row["epoch"], commit=True)
            self.sent = max(self.sent, len(history))

    def close(self) -> None:
        """Flush and end the trackers."""
        if self.board:
            self.board.close()
        if self.run:
            self.run.finish()


def _wandb_id(path: Path) -> str:
    """Return the id in a file, which is drawn once.

    A run that is trained anew after its folder was deleted must not resume the deleted one, as it
    would under an id made of its name.
    """
    if not path.is_file():
        write_json(path, {"id": secrets.token_hex(8)})
    content = read_json(path)
    found = content.get("id") if isinstance(content, dict) else None
    if not isinstance(found, str) or not found:
        raise ValueError(f"{path} does not say under which id W&B knows this run; delete it")
    return found
