"""The verb that names what a config can name."""

import re
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


def _lines(kind, capsys):
    verb(kind)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("kind", TABLES)
def test_every_row_of_a_table_is_listed_with_its_source(kind, capsys):
    head, *lines = _lines(kind, capsys)
    assert head.split()[0] == kind.removesuffix("es" if kind == "losses" else "s")
    assert [line.split()[0] for line in lines] == [*TABLES[kind]]
    for line, row in zip(lines, TABLES[kind].values(), strict=True):
        assert line.endswith(row.source)


def test_losses_say_in_which_modes_they_work(capsys):
    lines = {line.split()[0]: line for line in _lines("losses", capsys)}
    assert " multiclass " in lines["ce"] and "multilabel" not in lines["ce"]
    assert " multilabel, multiclass " in lines["dice"]
    assert lines["tversky"].endswith("[Salehi 2017] arXiv:1706.05721")


def test_networks_say_how_large_they_are(capsys):
    lines = {line.split()[0]: line for line in _lines("networks", capsys)}
    assert " 2.50 M " in lines["unet4"] and " 5.72 M " in lines["hybrid5"]


def test_encoders_come_with_their_weights(capsys):
    lines = {line.split()[0]: line for line in _lines("encoders", capsys)}
    assert " imagenet, ssl, swsl " in lines["resnet50"] and "timm" in lines["tu-NAME"]


def test_columns_are_aligned(capsys):
    head, *lines = _lines("losses", capsys)
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
