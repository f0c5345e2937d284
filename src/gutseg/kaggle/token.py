"""Where the kaggle command finds out who you are."""

import os
from pathlib import Path

SETTINGS = "https://www.kaggle.com/settings/api"


def find_token() -> str:
    """Return the name of the variable or file that holds a token; "" when there is none."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN"
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return "KAGGLE_USERNAME and KAGGLE_KEY"
    return next((str(path) for path in places() if path.is_file()), "")


def places() -> list[Path]:
    """Return the files that the kaggle command looks for, the older kaggle.json among them."""
    home = Path.home() / ".kaggle"
    folder = os.environ.get("KAGGLE_CONFIG_DIR")
    legacy = (Path(folder) if folder else home) / "kaggle.json"
    return [home / "access_token", legacy, home / "credentials.json"]
