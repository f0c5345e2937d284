"""What a network's parameters may say: nothing that loads, nothing larger than the memory."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from torch import nn

from gutseg.models.blueprint import blueprint
from gutseg.registry import shown

# Arguments of timm and smp that read a file, unpickle it or ask the network, whatever the version.
LOADING = re.compile(r"(pretrained|checkpoint|cache|load|hf_|hub).*|(encoder_)?weights|url|file")
# Channels, layers, pixels: the largest published encoders have 3072 channels.
LARGEST = 4096
# Weight, gradient and two moments of Adam, in float32.
BYTES = 16
CGROUP = Path("/sys/fs/cgroup/memory.max")


def plain_options(options: Any) -> Any:
    """Return options that load nothing and hold no absurd number; raise ValueError for others.

    They may come in another person's config.yaml. Looked at to any depth: keys that load weights,
    text that is a path, an address or a name on a hub (`hf-hub:...`), numbers beyond LARGEST.
    """
    for key, value in _leaves(options):
        if key and LOADING.fullmatch(key.lower()):
            raise ValueError(
                f"{shown(key)} loads a file or asks the network, which options must not; "
                "give weights as model.encoder_weights, a local file"
            )
        if isinstance(value, str) and set("/\\:") & set(value):
            raise ValueError(
                f"{shown(value)} is a path, an address or a name on a hub; options are numbers, "
                "words and lists of them"
            )
        if isinstance(value, int | float) and abs(value) > LARGEST:
            raise ValueError(f"{shown(value)} is beyond {LARGEST}, more than any encoder has")
    return options


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key with what is below it, values in a list under the key of the list."""
    yield key, value
    pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list | tuple):
        pairs = ((key, part) for part in value)
    for inner, part in pairs:
        yield from _leaves(part, str(inner))


Options = Annotated[dict[str, Any], AfterValidator(plain_options)]
PlainName = Annotated[str, AfterValidator(plain_options)]
Size = Annotated[int, Field(ge=1, le=LARGEST)]
Drop = Annotated[float, Field(ge=0, le=1)]
# Of the images: (B, S, H, W) or (B, S, Z, H, W).
Dims = Literal[2, 3]


def check_size(construct: Callable[[], nn.Module]) -> nn.Module | None:
    """Raise ValueError when a network has more parameters than can be trained on this machine.

    Returns its shapes (gutseg.models.blueprint).
    """
    network = blueprint(construct)
    if network is None:
        return None
    count = sum(parameter.numel() for parameter in network.parameters())
    needed, memory = count * BYTES / 2**30, _memory() / 2**30
    if needed > memory:
        raise ValueError(
            f"the network has {count / 1e6:,.0f} million parameters, which take {needed:,.0f} GB "
            f"in training; this machine has {memory:,.0f} GB, so make it smaller"
        )
    return network


def _memory() -> int:
    """Return the bytes of memory that this process can have: the machine's or the container's."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else "max"
    return min(installed, int(limit)) if limit.isdigit() else installed
