"""python -m benchmarks [NAME ...] [--quick] [--out FOLDER]: run all benches, or those named."""

import argparse
import importlib
from pathlib import Path

# name: what it measures; each is a module with run(quick) -> Markdown and runs alone as well
BENCHES = {
    "hausdorff": "exact Hausdorff distance of whole scans",
    "rle": "run-length text to masks and back",
    "reading": "2.5-D samples from the cache",
    "elastic": "elastic deformation",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], help="all by default")
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    parser.add_argument("--out", type=Path, help="folder for one Markdown file a bench")
    arguments = parser.parse_args()
    for name in arguments.names or BENCHES:
        text = importlib.import_module(f"benchmarks.{name}").run(arguments.quick)
        print(text, flush=True)
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
