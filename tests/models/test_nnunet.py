import sys

import pytest

from gutseg.models import MODELS, build
from gutseg.models.nnunet import nnunet_resenc


def test_without_the_extra_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures.architectures.unet", None)
    with pytest.raises(ValueError, match=r"pip install 'gutseg\[nnunet\]'"):
        build("nnunet_resenc", 3, 3)


def test_blocks_and_strides_are_those_of_the_residual_presets():
    encoder = nnunet_resenc(1, 2, widths=(8, 8, 16, 16, 16, 16)).net.encoder
    assert [len(stage.blocks) for stage in encoder.stages] == [1, 3, 4, 6, 6, 6]
    assert encoder.strides == [[1, 1]] + [[2, 2]] * 5
    assert MODELS["nnunet_resenc"].stride == 32
