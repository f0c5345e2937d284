"""The record of a run: metrics.csv, TensorBoard, Weights & Biases."""

from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.tensorboard import SummaryWriter

from gutseg.files import replacing


class Journal:
    """Writes one row an epoch; the csv is rewritten whole, so it never runs ahead of last.pt."""

    def __init__(
        self, folder: Path, *, tensorboard: bool = True, wandb: dict[str, Any] | None = None
    ) -> None:
        """wandb: keyword arguments of wandb.init; None leaves it out.

        Raises ValueError when W&B is asked for and not installed.
        """
        self.folder = folder
        self.board = SummaryWriter(str(folder / "tensorboard")) if tensorboard else None
        self.run = None
        if wandb is not None:
            try:
                from wandb import init
            except ImportError:
                raise ValueError(
                    "train.wandb is on but wandb is not installed; pip install 'gutseg[track]' "
                    "or set train.wandb=false"
                ) from None
            self.run = init(**wandb)

    def write(self, history: list[dict[str, float]]) -> None:
        """Record the last row of the history; metrics.csv gets all of it."""
        with replacing(self.folder / "metrics.csv") as temporary:
            pd.DataFrame(history).to_csv(temporary, index=False)
        row = history[-1]
        if self.board:
            for key, value in row.items():
                self.board.add_scalar(key, value, row["epoch"])
            self.board.flush()
        if self.run:
            self.run.log(row, step=row["epoch"])

    def close(self) -> None:
        """Flush and end the trackers."""
        if self.board:
            self.board.close()
        if self.run:
            self.run.finish()
