"""Other programs that are run: pip, unshare, kaggle and the kernel itself."""

import subprocess
from typing import Any


def run_command(command: list[str], **settings: Any) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", **settings)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1].strip()
