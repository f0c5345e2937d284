"""A training that is killed right after an epoch was saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gutseg.engine import loop


@contextmanager
def killed_after(epochs: int) -> Iterator[None]:
    """Whatever trains inside ends with KeyboardInterrupt once last.pt holds so many epochs."""
    kept = loop.checkpoint.save

    def killed(path: Path, content: dict) -> None:
        kept(path, content)
        if path.name == "last.pt" and len(content["history"]) == epochs:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.checkpoint, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            yield
