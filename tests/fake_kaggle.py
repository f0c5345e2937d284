"""A kaggle command that answers as version 2.2.4 does, out of a folder instead of the network.

Run as an executable with FAKE_KAGGLE naming the folder. state.json there is what "Kaggle" knows;
answers.json maps a command to a list of (stdout, stderr, status) that it gives first; calls.txt
lists what was asked.
"""

import argparse
import json
import os
import sys
from pathlib import Path

HELP = """Authentication required to call the Kaggle API.

First, you will need a Kaggle account. You can sign up at
  https://www.kaggle.com/account/login
"""


def main(words: list[str]) -> None:
    """Answer one command line."""
    root = Path(os.environ["FAKE_KAGGLE"])
    with (root / "calls.txt").open("a") as calls:
        calls.write(" ".join(words[:2]) + "\n")
    options = parser().parse_args(words)
    answers = json.loads((root / "answers.json").read_text())
    queue = answers.get(" ".join(words[:2]), [])
    if queue:
        stdout, stderr, status = queue.pop(0)
        (root / "answers.json").write_text(json.dumps(answers))
        print(stdout, end="")
        print(stderr, end="", file=sys.stderr)
        sys.exit(status)
    if not (root / "token").exists():
        print(HELP)
        sys.exit(1)
    state = json.loads((root / "state.json").read_text())
    try:
        print(options.answer(state, options, root), end="")
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    finally:
        (root / "state.json").write_text(json.dumps(state))


def parser() -> argparse.ArgumentParser:
    """The part of the real command's options that this project uses."""
    top = argparse.ArgumentParser(prog="kaggle")
    groups = top.add_subparsers(required=True)
    for group, commands in COMMANDS.items():
        below = groups.add_parser(group).add_subparsers(required=True)
        for name, (answer, options) in commands.items():
            one = below.add_parser(name)
            one.set_defaults(answer=answer)
            for option in options:
                is_flag = {"action": "store_true"} if option == "--csv" else {}
                one.add_argument(*SHORT.get(option, ()), option, **is_flag)
    return top


def dataset_status(state: dict, options: argparse.Namespace, root: Path) -> str:
    """A dataset is unpacked for one question before its new version is ready."""
    known = state["datasets"].get(options.dataset)
    if known is None:
        raise ValueError("403 Client Error: Forbidden for url: https://api.kaggle.com/v1/error")
    known["asked"] += 1
    ready = known["asked"] > 1
    number = known["version"] if ready else known["version"] - 1
    # until the new version is known, the one before is shown, and it is ready
    status = "ready" if ready or number else "blobs_received"
    return json.dumps({"status": status, "current_version_number": number})


def dataset_create(state: dict, options: argparse.Namespace, root: Path) -> str:
    content = json.loads((Path(options.path) / "dataset-metadata.json").read_text())
    if not 6 <= len(content["title"]) <= 50:
        raise ValueError("The dataset title must be between 6 and 50 characters")
    if content["id"] in state["datasets"]:
        title = content["title"]
        taken = f'The requested title "{title}" is already in use by a dataset.'
        return f"Dataset creation error: {taken} Please choose another title.\n"
    state["datasets"][content["id"]] = {"version": 1, "asked": 0}
    return _uploaded(options) + (
        "Your private Dataset is being created. Please check progress at https://k.com/error\n"
    )


def dataset_version(state: dict, options: argparse.Namespace, root: Path) -> str:
    content = json.loads((Path(options.path) / "dataset-metadata.json").read_text())
    known = state["datasets"][content["id"]]
    known.update(version=known["version"] + 1, asked=0)
    return _uploaded(options) + (
        "Dataset version is being created. Please check progress at https://k.com/not-found\n"
    )


def _uploaded(options: argparse.Namespace) -> str:
    names = [path.name for path in sorted(Path(options.path).iterdir())]
    return "".join(
        f"Starting upload for file {name}\nUpload successful: {name} (1KB)\n" for name in names
    )


def kernel_push(state: dict, options: argparse.Namespace, root: Path) -> str:
    content = json.loads((Path(options.path) / "kernel-metadata.json").read_text())
    known = state["kernels"].setdefault(content["id"], {"version": 0})
    known.update(version=known["version"] + 1, asked=0)
    said = ""
    absent = [name for name in content["dataset_sources"] if name not in state["datasets"]]
    if absent:
        said = "The following are not valid dataset sources and could not be added to the kernel: "
        said += f"{absent}\n"
    where = f"https://www.kaggle.com/code/{content['id']}"
    number = known["version"]
    done = f"Kernel version {number} successfully pushed.  Please check progress at {where}\n"
    return said + done


def kernel_status(state: dict, options: argparse.Namespace, root: Path) -> str:
    known = state["kernels"][options.kernel]
    known["asked"] += 1
    ends = ["QUEUED", "RUNNING", known.get("end", "COMPLETE")]
    status = ends[min(known["asked"], 3) - 1]
    said = f'{options.kernel} has status "KernelWorkerStatus.{status}"\n'
    if status == "ERROR":
        said += (
            'Failure message: "Your notebook tried to allocate more memory than is available."\n'
        )
    return said


def kernel_output(state: dict, options: argparse.Namespace, root: Path) -> str:
    folder, slug = Path(options.path), options.kernel.rpartition("/")[2]
    lines = state.get("log", [f"line {n}" for n in range(20)])
    events = [
        {"stream_name": "stdout", "time": n, "data": f"{line}\n"} for n, line in enumerate(lines)
    ]
    (folder / f"{slug}.log").write_text(json.dumps(events))
    said = ""
    for name, text in state["output"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        said += f"Output file downloaded to {folder / name}\n"
    return said + f"Kernel log downloaded to {folder / slug}.log \n"


def submit(state: dict, options: argparse.Namespace, root: Path) -> str:
    row = {"description": options.message, "asked": 0, "version": options.version}
    state["submissions"].insert(0, row)
    left = 5 - len(state["submissions"])
    title = "UW-Madison GI Tract Image Segmentation"
    return f"{left} submissions remaining today.\nSuccessfully submitted to {title}"


def submissions(state: dict, options: argparse.Namespace, root: Path) -> str:
    if not state["submissions"]:
        return "No submissions found\n"
    lines = ["ref,fileName,date,description,status,publicScore,privateScore"]
    for number, row in enumerate(state["submissions"]):
        row["asked"] += 1
        end = state.get("scoring", "COMPLETE")
        status, score = ("PENDING", ",") if row["asked"] < 2 else (end, "0.86445,0.85588")
        day = 20 - number
        text = f'"{row["description"]}"' if "," in row["description"] else row["description"]
        lines.append(
            f"{number},submission.csv,2026-11-{day},{text},SubmissionStatus.{status},{score}"
        )
    return "\n".join(lines) + "\n"


COMMANDS = {
    "datasets": {
        "status": (dataset_status, ["dataset", "--format"]),
        "create": (dataset_create, ["--path", "--dir-mode"]),
        "version": (dataset_version, ["--path", "--dir-mode", "--message"]),
    },
    "kernels": {
        "push": (kernel_push, ["--path"]),
        "status": (kernel_status, ["kernel"]),
        "output": (kernel_output, ["kernel", "--path"]),
    },
    "competitions": {
        "submit": (submit, ["competition", "--kernel", "--version", "--file", "--message"]),
        "submissions": (submissions, ["competition", "--csv"]),
    },
}

SHORT = {
    **{"--path": ("-p",), "--dir-mode": ("-r",), "--message": ("-m",), "--csv": ("-v",)},
    **{"--kernel": ("-k",), "--version": ("-v",), "--file": ("-f",)},
}

if __name__ == "__main__":
    main(sys.argv[1:])
