"""python -m benchmarks [NAME ...] [--quick] [--out FOLDER]: measure all, or those named."""

import argparse
import subprocess
import sys
from pathlib import Path

# name: what is measured; each is a module with run(quick) -> Markdown and runs alone as well
BENCHES = {
    "hausdorff": "exact Hausdorff distance of whole scans",
    "surface": "HD, HD95, surface Dice and mean distance in mm, beside MONAI and DeepMind",
    "rle": "run-length text to masks and back",
    "score": "the whole scorer, csv against csv, and a candidate of a search",
    "reading": "2.5-D samples from the cache",
    "elastic": "elastic deformation",
    "inference": "slices per second of submit beside a plain loop, and its memory",
    "steps": "training steps of six networks beside a plain script, and waiting for data",
    "losses": "losses beside those of smp, MONAI, kornia and torch",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], help="all by default")
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    parser.add_argument("--out", type=Path, help="folder for one Markdown file each")
    arguments = parser.parse_args()
    for name in arguments.names or BENCHES:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if arguments.quick:
            command.append("--quick")
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            command += ["--out", str(arguments.out / f"{name}.md")]
        # a process each: they set threads and allocator to their needs
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
