"""What channels of an earlier day are worth, for patients who come back and for new ones.

    gutseg phantom STUDY/phantom --cases 24 --seed 13
    gutseg prepare STUDY/phantom --out STUDY/cache
    gutseg split STUDY/cache --out STUDY/folds.csv
    python -m benchmarks.prior_day STUDY [--seeds 2]

Trains configs/prior_day.yaml on all folds with and without `prior_day`, predicts the held-out
patients (with it also where the earlier day is withheld) and prints the tables of
docs/bench/prior_day.md. What is there already is not trained or predicted again.
"""

import argparse
from pathlib import Path

from gutseg import experiment
from gutseg.config import load
from gutseg.training import is_trained, train_fold

CONFIG = Path(__file__).parents[1] / "configs" / "prior_day.yaml"
VARIANTS = {"with": [], "without": ["prior_day=null"]}


def train(study: Path, seeds: int) -> None:
    """Train every fold of every seed with and without channels of an earlier day."""
    for seed in range(seeds):
        places = [f"data.folder={study / 'cache'}", f"data.folds={study / 'folds.csv'}"]
        places += [f"runs={study / 'runs'}", f"seed={seed}"]
        configs = {
            name: load(CONFIG, [*places, f"name={name}{seed}", *others])
            for name, others in VARIANTS.items()
        }
        sources = {name: experiment.source(config) for name, config in configs.items()}
        for fold in range(5):
            for name, config in configs.items():
                if not is_trained(experiment.run_folder(config, fold)):
                    train_fold(config, fold, sources[name])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    train(given.study, given.seeds)
