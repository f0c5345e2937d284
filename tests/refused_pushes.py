"""Answers of the kaggle command that end a push; see test_refusals.py."""

import os
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from fake_kaggle import HELP
from pushing import push_with, write_build

from gutseg.kaggle import client
from gutseg.kernel import kernel

Refused = tuple[str, Callable[[Path], None]]
SETTINGS = "https://www.kaggle.com/settings/api"
RULES = "https://www.kaggle.com/competitions/uw-madison-gi-tract-image-segmentation/rules"
LATER = "finished steps are kept"
TAKEN = 'The requested title "gutseg infer" is already in use by a notebook.'


def _says(command: str, text: str, status: int = 0, message: str = "") -> Callable[[Path], None]:
    """Make a case of an answer to one command, each time that it is asked."""
    answer = {command: [[text, "", status]] * client.PASSING}
    return lambda place: push_with(place, message, **answer)


def _state(message: str = "", **state) -> Callable[[Path], None]:
    return lambda place: push_with(place, message, state)


def _without_a_command(place: Path) -> None:
    folder = write_build(place / "build")
    with patch.dict(os.environ, {"PATH": str(place)}):
        kernel("push", folder=folder)


def _without_an_end(place: Path) -> None:
    with patch.object(client, "HOURS", 0):
        push_with(place)


PUSHES: dict[str, Refused] = {
    "no kaggle command": (
        "the kaggle command is not installed; pip install kaggle",
        _without_a_command,
    ),
    "half a kaggle command": (
        "kaggle datasets status failed: …; the kaggle command is not completely installed: "
        "pip install --upgrade kaggle …",
        _says(
            "datasets_status",
            "Traceback (most recent call last):\n  import six\n"
            "ModuleNotFoundError: No module named 'six'",
            1,
        ),
    ),
    "an old kaggle command": (
        "kaggle datasets status failed: …; the kaggle command is too old: "
        "pip install --upgrade kaggle",
        _says("datasets_status", "kaggle: error: unrecognized arguments: --format json", 2),
    ),
    "no token": (
        "kaggle … failed: Authentication required to call the Kaggle API.; there is no valid "
        f"token: kaggle auth login, or save one of {SETTINGS} as ~/.kaggle/access_token",
        _says("datasets_status", HELP, 1),
    ),
    "no network": (
        f"kaggle … failed: …; Kaggle cannot be reached: repeat the command, {LATER}",
        _says("datasets_status", "HTTPSConnectionPool: Max retries exceeded with url: /v1/x", 1),
    ),
    "too many requests": (
        "kaggle … failed: …; Kaggle wants fewer requests: repeat the command in some minutes, "
        f"{LATER}",
        _says("kernels_status", "429 Client Error: Too Many Requests for url: /v1/x", 1),
    ),
    "Kaggle is down": (
        f"kaggle … failed: …; Kaggle is not well: repeat the command later, {LATER}",
        _says("kernels_push", "503 Server Error: Service Unavailable for url: https://k.com", 1),
    ),
    "the data set's name": (
        "kaggle … failed: …; this name is taken: build again with another --name",
        _says(
            "datasets_create",
            'Dataset creation error: The requested title "gutseg bundle" is already in use by a '
            "dataset. Please choose another title.",
        ),
    ),
    "the kernel's name": (
        "kaggle … failed: …; this name is taken: build again with another --name",
        _says("kernels_push", f"Kernel push error: {TAKEN} Please choose another title."),
    ),
    "a file that did not get there": (
        "kaggle … failed: …; a file did not get there: repeat the command",
        _says(
            "datasets_create",
            "Starting upload for file runs.zip\nUpload unsuccessful: runs.zip\n"
            "Your private Dataset is being created. Please check progress at https://k.com",
        ),
    ),
    "a data set that Kaggle cannot unpack": (
        "Kaggle says of the dataset …: failed; repeat the command to send it again",
        lambda place: push_with(
            place,
            datasets_status=[
                ["", "404 Client Error: Not Found for url: https://k.com", 1],
                ['{"status": "failed", "current_version_number": 1}', "", 0],
            ],
        ),
    ),
    "a kernel without its data set": (
        "kaggle kernels push failed: …; the kernel would run without its bundle: see on "
        "kaggle.com/datasets whether the dataset is there, then repeat the command",
        _says(
            "kernels_push",
            "The following are not valid dataset sources and could not be added to the kernel: "
            "['me/gutseg-bundle']\nKernel version 1 successfully pushed.  Please check progress",
        ),
    ),
    "a kernel without the output of another": (
        "kaggle kernels push failed: …; the kernel would run without the output that it reads: see "
        "on kaggle.com/code whether that kernel is there, or build again with another --attach",
        _says(
            "kernels_push",
            "The following are not valid kernel sources and could not be added to the kernel: "
            "['me/gutseg-train']\nKernel version 1 successfully pushed.",
        ),
    ),
    "a submission of what writes none": (
        "--submit is not for kernel --kind …, which writes no submission",
        lambda place: kernel("push", folder=place, kind="cv", submit="first"),
    ),
    "a kernel without the competition": (
        f"kaggle … failed: …; accept the competition's rules on {RULES} (Late Submission), then "
        "repeat the command",
        _says(
            "kernels_push",
            "The following are not valid competition sources and could not be added to the kernel: "
            "['uw-madison-gi-tract-image-segmentation']\nKernel version 1 successfully pushed.",
        ),
    ),
    "no GPU hours left": (
        "kaggle kernels push failed: …; no GPU is free for you: stop a running session on "
        "kaggle.com or wait for next week's quota (kaggle quota), then repeat the command",
        _says(
            "kernels_push", "Kernel push error: Maximum weekly GPU quota of 30.00 hours reached."
        ),
    ),
    "two sessions at once": (
        "kaggle kernels push failed: …; no GPU is free for you: stop a running session on "
        "kaggle.com or wait for next week's quota (kaggle quota), then repeat the command",
        _says("kernels_push", "Kernel push error: Maximum batch GPU session count of 2 reached."),
    ),
    "a kernel that fails": (
        "the kernel … ended with error (…); mend what its last lines say, then build, check and "
        "push again",
        _state(kernels={"me/gutseg-infer": {"version": 0, "end": "ERROR"}}),
    ),
    "a kernel that was stopped": (
        "the kernel … ended with cancel_acknowledged; mend what its last lines say, then build, "
        "check and push again",
        _state(kernels={"me/gutseg-infer": {"version": 0, "end": "CANCEL_ACKNOWLEDGED"}}),
    ),
    "a kernel that writes nothing": (
        "the kernel … wrote no submission.csv, but …; see its log in …, then build, check and push",
        _state(output={"notes.txt": ""}),
    ),
    "a kernel that never ends": (
        "the dataset … is not ready after … hours; repeat the command to wait on",
        _without_an_end,
    ),
    "rules that were not accepted": (
        f"kaggle … failed: …; accept the competition's rules on {RULES} (Late Submission), then "
        "repeat the command",
        _says(
            "competitions_submit",
            "403 - Forbidden - You must accept this competition's rules before you can submit.",
            1,
            message="first",
        ),
    ),
    "another account": (
        "kaggle … failed: …; Kaggle does not allow it to this account: accept the competition's "
        f"rules on {RULES}, and build with --user as in kaggle.com/<user>",
        _says(
            "competitions_submit",
            "403 Client Error: Forbidden for url: https://k.com",
            1,
            message="first",
        ),
    ),
    "a sixth submission": (
        "kaggle competitions submit failed: …; the submissions of today are used up: repeat the "
        f"command tomorrow, {LATER}",
        _says(
            "competitions_submit",
            "400 Client Error: Your team has used its daily Submission allowance (5) today.",
            1,
            message="first",
        ),
    ),
    "a submission that cannot be scored": (
        "Kaggle could not score the submission …; see its page on kaggle.com and docs/kaggle.md, "
        "and run kernel check",
        _state("first", scoring="ERROR"),
    ),
    "anything else": (
        f"kaggle … failed: …; repeat the command, {LATER}; if it stays, see kaggle.com",
        _says("kernels_push", "Kernel push error: something new"),
    ),
}
