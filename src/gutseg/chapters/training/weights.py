"""Which weights of a run count, and on what they were picked: said as it is."""

from gutseg.chapters.training.records import FoldRecord, RunRecord
from gutseg.data.folds import FULL


def which_weights(run: RunRecord) -> str:
    """Say in one to four sentences whose weights best.pt holds and what that does to its score."""
    said = [sentence for sentence in (_folds(run), _full(run)) if sentence]
    if decay := run.config.train.ema:
        said.append(
            f"They are a moving average over the steps (decay {decay:g}), and so is every measure "
            "of held-out images; the training loss is of the weights that moved."
        )
    return " ".join(said)


def _folds(run: RunRecord) -> str:
    folds = [fold for fold in run.folds if fold.folder.name != FULL]
    if not folds:
        return ""
    monitor = run.config.train.monitor
    if monitor is None:
        return f"{run.name}: of each fold the last epoch's weights count; nothing was picked."
    measured = [fold.table[monitor].notna().sum() if monitor in fold.table else 0 for fold in folds]
    if max(measured) <= 1:
        return (
            f"{run.name}: of each fold the last epoch's weights count; {monitor} was measured once "
            "or never, so that there was nothing to pick."
        )
    return (
        f"{run.name}: of each fold the weights of the epoch with the best {monitor} count, which "
        "was measured on the very images that the fold holds out, so that scores on these images "
        f"are too high by what the pick gained{_gain(folds, monitor)}."
    )


def _gain(folds: list[FoldRecord], monitor: str) -> str:
    """Say by how much the kept epoch lies above the last one, on the mean over folds."""
    pairs = [
        (fold.table[monitor].iloc[fold.kept], fold.table[monitor].iloc[-1])
        for fold in folds
        if monitor in fold.table and fold.kept is not None
    ]
    pairs = [(kept, last) for kept, last in pairs if last == last]
    if not pairs:
        return ""
    kept, last = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
    return f": the kept epochs have {kept:.4f} on average and the last ones {last:.4f}"


def _full(run: RunRecord) -> str:
    if not any(fold.folder.name == FULL for fold in run.folds):
        return ""
    return (
        f"{run.name}, full: the last epoch's weights count; it has seen all images, and nothing "
        "here measures it."
    )
