"""What the tables of a study are drawn from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class View:
    """One row per cell, the score that ranks them, and the folder of the figures."""

    frame: pd.DataFrame
    score: str
    folder: Path

    def networks(self) -> list[str]:
        """Networks in the order of the grid."""
        return list(self.frame["network"].unique())

    def of(self, network: str) -> pd.DataFrame:
        """The cells of a network."""
        return self.frame[self.frame["network"] == network]

    def tuned(self, network: str) -> pd.DataFrame:
        """The cells of every loss at its best learning rate and patch; no result counts 0."""
        frame, score = self.of(network), self.score
        filled = frame.assign(score=frame[score].fillna(0) if score in frame else 0.0)
        means = filled.groupby(["label", "lr", "patch"], sort=False)["score"].mean()
        best = set(means.groupby("label", sort=False).idxmax())
        places = zip(frame["label"], frame["lr"], frame["patch"], strict=True)
        return frame[[place in best for place in places]]

    def background(self) -> str:
        """The name of the background class, empty where classes overlap."""
        return self.frame["background"].dropna().iloc[0]

    def classes(self) -> list[str]:
        """Classes, in the order of the data."""
        return [key.removeprefix("iou.") for key in self.frame if key.startswith("iou.")]

    def shares(self) -> pd.Series:
        """The share of the training pixels by class, mean over cells."""
        return pd.Series({key: self.frame[f"share.{key}"].mean() for key in self.classes()})

    def blocks(self, network: str) -> pd.DataFrame:
        """Scores of a network, tuned: one row per block (seed, fold), one column per loss."""
        frame = self.tuned(network)
        if self.score not in frame:
            frame = frame.assign(**{self.score: np.nan})
        table = frame.pivot(index=["seed", "fold"], columns="label", values=self.score)
        return table[frame["label"].unique()]
