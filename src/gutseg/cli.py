"""gutseg VERB ...: the command line; every verb is a file of the same name."""

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

from gutseg import __version__
from gutseg.ending import guarded, ready_streams

if TYPE_CHECKING:
    import typer

# What --help shows. Only the verb that was asked for is imported: torch alone takes seconds.
VERBS = {
    "config": "print all settings of an experiment with what they mean",
    "list": "print the losses, networks, ... that a config can name",
    "phantom": "write a synthetic competition folder",
    "prepare": "index the slices and cache every scan as arrays",
    "split": "assign patients to folds",
    "plan": "write a config for a data folder, with the reason for every choice",
    "train": "train one fold or all of them",
    "predict": "write out-of-fold probabilities",
    "pseudo": "label scans of new patients with a run's predictions, to train on them too",
    "blend": "search weights, thresholds and post-processing on out-of-fold predictions",
    "best": "choose the runs that an ensemble needs, and say what each of them is worth",
    "score": "compute the competition score of probabilities or of a submission",
    "report": "write one page with tables and figures on data, training and results",
    "submit": "write submission.csv from images and a blend",
    "validate": "check a submission.csv as Kaggle would, every fault with its row",
    "kernel": "build, check and push the Kaggle kernel and its dataset",
    "export": "write a network as ONNX or torch.export, or a scan's masks as DICOM or NIfTI",
    "segment": "predict the organs of a DICOM series or a NIfTI file, write DICOM or NIfTI",
    "push-to-hub": "write weights, configs and a model card into a folder, or upload them",
    "bench": "compare losses and networks at an equal budget, with intervals and tests",
    "reuse": "train two networks, lay the background of one over the classes of the other",
    "view": "show scans with truth and prediction in the browser",
    "doctor": "look at Python, torch, GPU, packages, disk and data: what to mend, and how",
    "demo": "run the whole job on a synthetic competition folder",
}
# Verbs whose file is not called like them.
FILES = {"config": "config.files", "push-to-hub": "push_to_hub"}


def main() -> None:
    """Run one verb; bad input ends with one sentence and exit code 2 instead of a traceback."""
    # a shell that asks how to complete a line gives it in its environment
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    words = line.split() if "_GUTSEG_COMPLETE" in os.environ else sys.argv[1:]
    wanted = next((word for word in words if word in VERBS), None)
    with guarded(wanted or "", working=False):
        ready_streams()
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        app(wanted)()


def app(wanted: str | None = None) -> "typer.Typer":
    """Build the Typer application; the verb `wanted` is loaded, the others are only named."""
    import typer  # after main has its handlers: a key may be pressed at any time

    application = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # boxes need a wide terminal, and one that knows their characters
        help="UW-Madison GI tract segmentation, from the Kaggle download to a submission.",
    )
    version = typer.Option("--version", callback=_print_version, is_eager=True, help="show it")

    @application.callback()
    def options(version: Annotated[bool, version] = False) -> None: ...

    for name, summary in VERBS.items():
        command = _absent
        if name == wanted:
            module = import_module(f"gutseg.{FILES.get(name, name)}")
            command = guarded(name)(getattr(module, name.replace("-", "_")))
        application.command(name, short_help=summary)(command)
    return application


def _absent() -> None: ...


def _print_version(asked: bool) -> None:
    if asked:
        print(f"gutseg {__version__}")
        sys.exit()
