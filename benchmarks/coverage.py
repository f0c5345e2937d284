"""How often an interval over patients contains the truth: worlds drawn from phantom patients.

    python -m benchmarks.coverage [--worlds 2000]        prints the tables of docs/metric.md
    python -m benchmarks.coverage --draw RUN [--cases N]  predicts other patients with RUN's fold 0

The population is tests/metrics/phantom_patients.csv, which --draw wrote.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gutseg import runs
from gutseg.config import Blend
from gutseg.config.blend import Member
from gutseg.constants import CLASSES
from gutseg.data.volume import describe
from gutseg.masks.bit_rows import BitRows
from gutseg.metrics.competition import METRICS, compare, of_class
from gutseg.metrics.intervals import Interval, intervals, patient_sums
from gutseg.progress import progress
from gutseg.reporting.tables import markdown
from gutseg.synthetic import draw_scan, roster

FILE = Path(__file__).parents[1] / "tests" / "metrics" / "phantom_patients.csv"
# of the phantom; the networks of the studies were trained on seed 0
SEED = 77
COLUMNS = ["dice", "rows", "distance", "volumes"]


def draw(run: Path, cases: int) -> pd.DataFrame:
    """Draw patients that a network has never seen, predict them and sum up their results."""
    member = Member(run=Path(run.name), folds=[0], tta="none")
    networks = runs.assemble(Blend(members=[member]), run.parent, torch.device("cpu"))
    results = []
    for visit in progress(roster(cases, SEED, "small")[0], desc="predict", unit="scan"):
        drawing = draw_scan(SEED, visit)
        masks = networks(describe(visit.name, drawing.image), np.arange(len(drawing.image)))
        truth = BitRows.from_class_bits(drawing.mask, len(CLASSES))
        results.append(compare(visit.name, masks, truth, METRICS["default"]))
    rows = []
    for organ in CLASSES:
        sums = patient_sums([of_class(one, organ) for one in results], METRICS["default"])
        rows += [(case, organ, *one.ravel()) for case, one in sums.items()]
    return pd.DataFrame(rows, columns=["case", "class", *COLUMNS])


def population(organ: str) -> np.ndarray:
    """Return the sums of every patient, (P, 2, 2), of one class or of `all`."""
    table = pd.read_csv(FILE)
    table = table if organ == "all" else table[table["class"] == organ]
    sums = table.groupby("case", sort=False)[COLUMNS].sum()
    return sums.to_numpy(float).reshape(-1, 2, 2)


def with_failures(people: np.ndarray, share: float) -> np.ndarray:
    """Let some patients lose two thirds of their Dice and half of the distance to 1."""
    # a hundred times as many, so that the share is what it says
    many = np.tile(people, (100, 1, 1))
    failed = np.random.default_rng(0).random(len(many)) < share
    many[failed, 0, 0] /= 3
    many[failed, 1, 0] = (many[failed, 1, 0] + many[failed, 1, 1]) / 2
    return many


def percentile(people: np.ndarray) -> Interval:
    """The plain percentile bootstrap, which is not used, as a comparison."""
    drawn = np.random.default_rng(0).multinomial(
        len(people), np.full(len(people), 1 / len(people)), 2000
    )
    (dice, rows), (distance, volumes) = np.einsum("rp,pkt->ktr", drawn, people)
    found = 0.4 * dice / rows + 0.6 * (1 - distance / volumes)
    return Interval(float("nan"), *np.quantile(found, [0.025, 0.975]))


def coverage(people: np.ndarray, patients: int, worlds: int) -> list[str]:
    """Return the share of worlds whose interval contains the score of all people, and widths."""
    rng = np.random.default_rng(0)
    truth = intervals([people.sum(axis=0)])["score"].value
    hits, plain, widths = [], [], []
    for _ in range(worlds):
        world = people[rng.integers(0, len(people), patients)]
        for method, into in ((lambda one: intervals(one)["score"], hits), (percentile, plain)):
            _, low, high = method(world)
            into.append(low <= truth <= high)
            if into is hits:
                widths.append(high - low)
    return [f"{100 * np.mean(hits):.1f}", f"{100 * np.mean(plain):.1f}", f"{np.median(widths):.3f}"]


def main() -> None:
    """Print the tables, or write the population."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--cases", type=int, default=130)
    options = parser.parse_args()
    if options.draw:
        draw(options.draw, options.cases).to_csv(FILE, index=False, float_format="%.5g")
        return
    people = {organ: population(organ) for organ in ("all", *CLASSES)}
    people |= {
        f"all, {share:.0%} of the patients failed": with_failures(people["all"], share)
        for share in (0.05, 0.15)
    }
    rows = [
        [name, str(patients), *coverage(part, patients, options.worlds)]
        for name, part in people.items()
        for patients in (6, 12, 25, 50, 85)
    ]
    header = ["population", "patients", "covers, %", "percentile bootstrap, %", "median width"]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
