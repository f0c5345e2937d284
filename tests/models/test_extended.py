import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from network_cases import small
from torch import nn

from gutseg.models import MODELS, build, extend
from gutseg.models.extended import Tap, places_of
from gutseg.models.places import channels_of
from gutseg.models.presence import Gate, Outputs, PresenceHead

WIDTHS = {"widths": [8, 16, 32]}
SMP = {"encoder": "tu-test_resnet"}
U_SHAPED = ["Unet", "UnetPlusPlus", "MAnet", "Linknet"]


def _unet(**params):
    torch.manual_seed(0)
    return build("unet", 3, 2, **WIDTHS, **params)


def _smp(**params):
    torch.manual_seed(0)
    return build("smp", 3, 2, **(SMP | params))


def _count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_network_that_nothing_is_added_to_is_itself():
    network = _unet()
    assert extend(network, 3, 2) is network


def test_what_is_added_leaves_the_names_and_numbers_of_the_network():
    bare = _unet()
    attention = {"local_levels": [1], "external_levels": [-1]}
    extended = extend(_unet(), 3, 2, attention=attention, dropout=0.5, gate=Gate())
    state = extended.state_dict()
    for key, value in bare.state_dict().items():
        assert torch.equal(state.pop(f"network.{key}"), value)
    assert {key.split(".")[0] for key in state} == {"added", "presence"}


@pytest.mark.parametrize(
    ("attention", "places"),
    [
        ({"local_levels": [0]}, [0, 0]),
        ({"external_levels": [-1]}, [2]),
        ({"local_levels": [1], "external_levels": [1, 2]}, [1, 1, 2]),
    ],
)
def test_a_u_net_has_attention_on_both_sides_of_the_levels_that_are_asked_for(attention, places):
    """As many weights as hybrid_unet has with the same levels, behind the same stages."""
    found = extend(_unet(), 3, 2, attention=attention)
    none = {"local_levels": [], "external_levels": []}
    assert _count(found) == _count(build("hybrid_unet", 3, 2, **WIDTHS, **none | attention))
    assert len(found.added) == len(places)
    levels = found.network.levels
    inner = [len(levels[level]) for level in dict.fromkeys(places)]
    assert sum(inner) == len(places)


def test_a_u_net_with_attention_answers_as_the_hybrid_of_equal_weights():
    attention = {"local_levels": [1], "external_levels": [-1]}
    hybrid = build("hybrid_unet", 3, 2, **WIDTHS, **attention).eval()
    found = extend(build("unet", 3, 2, **WIDTHS), 3, 2, attention=attention).eval()
    state = hybrid.state_dict()
    # behind encoder.1, decoder.0 and encoder.2: their second modules
    moved = {"encoder.1.1.": "added.0.block.", "decoder.0.1.": "added.1.block."}
    moved["encoder.2.1."] = "added.2.block."
    renamed = {}
    for key, value in state.items():
        start = next((old for old in moved if key.startswith(old)), None)
        renamed[f"network.{key}" if start is None else moved[start] + key[len(start) :]] = value
    found.load_state_dict(renamed)
    images = torch.rand(2, 3, 37, 52)
    with torch.no_grad():
        assert torch.equal(found(images), hybrid(images))


@pytest.mark.parametrize("architecture", U_SHAPED)
def test_attention_of_a_library_network_changes_the_asked_level_alone(architecture):
    """And every block takes part: without its answer the network is the bare one."""
    bare = _smp(architecture=architecture).eval()
    attention = {"local_levels": [4], "external_levels": [-1], "window": 3}
    found = extend(_smp(architecture=architecture), 3, 2, attention=attention).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = bare.encoder(images)
        after = found.network.encoder(images)
        same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
        assert same == [True, True, True, True, False, False]
        assert not torch.allclose(found(images), bare(images), atol=1e-4)
        for added in found.added:
            for name, parameter in added.named_parameters():
                if name.split(".")[-2] in ("merge", "project"):
                    parameter.zero_()  # what the block adds to its input
        assert torch.equal(found(images), bare(images))
    found.train()(images.repeat(2, 1, 1, 1)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in found.added.parameters())


@pytest.mark.parametrize(
    ("network", "attention", "message"),
    [
        (_unet, {"local_levels": [3]}, "model.attention: local_levels 3: choices are 0 to 2"),
        (
            _unet,
            {"external_levels": [0], "external_heads": 7},
            "model.attention: heads 7 does not divide 32",
        ),
        (_smp, {"local_levels": [0]}, r"level 0 has no .* choices are \[1, 2, 3, 4, 5\]"),
        (
            lambda: _smp(architecture="FPN"),
            {"local_levels": [2]},
            "model.attention: this network has no levels",
        ),
    ],
)
def test_attention_that_cannot_be_is_refused(network, attention, message):
    with pytest.raises(ValueError, match=message):
        extend(network(), 3, 2, attention=attention)


@pytest.mark.parametrize("network", [_unet, _smp, lambda: _smp(architecture="DeepLabV3Plus")])
def test_a_presence_head_reads_the_deepest_features(network):
    found = extend(network(), 3, 2, gate=Gate("multiply"))
    images = torch.rand(2, 3, 64, 64)
    found.train()
    outputs = found(images)
    assert isinstance(outputs, Outputs) and outputs.presence.shape == (2, 2)
    assert outputs.masks.shape == (2, 2, 64, 64)
    outputs.presence.sum().backward()
    touched = {key for key, p in found.named_parameters() if p.grad is not None}
    assert {"presence.linear.weight", "presence.linear.bias"} < touched
    assert not any("decoder" in key or "head" in key for key in touched)
    assert not found.tap.kept
    bare = network().eval()
    with torch.no_grad():
        # the BatchNorms of found have seen a batch
        bare.load_state_dict(found.network.state_dict())
        gated = found.eval()(images)
        place = getattr(bare, "deepest", None) or bare.levels[-1][0]
        features = [None]
        module = bare.get_submodule(place.module)
        module.register_forward_hook(lambda _, __, output: features.append(output))
        masks = bare(images)
        deepest = features[-1][place.item[0]] if place.item else features[-1]
        presence = found.presence(deepest)
    expected = masks.sigmoid() * presence.sigmoid()[:, :, None, None]
    torch.testing.assert_close(gated.sigmoid(), expected)


def test_a_copy_and_a_saved_state_answer_as_the_network():
    """As a moving average copies it, and a checkpoint fills it."""
    found = extend(_unet(), 3, 2, attention={"local_levels": [1]}, dropout=0.3, gate=Gate())
    images = torch.rand(1, 3, 32, 48)
    twin = copy.deepcopy(found)
    other = extend(_unet(), 3, 2, attention={"local_levels": [1]}, dropout=0.3, gate=Gate())
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.mul_(1.5)  # a hook that still belonged to the original would show
        expected = found.eval()(images)
        assert not torch.equal(twin.eval()(images), expected)
        twin.load_state_dict(found.state_dict())
        other.load_state_dict(found.state_dict())
        assert torch.equal(twin(images), expected)
        assert torch.equal(other.eval()(images), expected)


def test_dropout_drops_whole_channels_of_the_deepest_features_in_training_alone():
    found = extend(_unet(), 3, 2, dropout=0.5)
    seen = []
    found.network.up[0].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    images = torch.rand(2, 3, 32, 32)
    bare = _unet()
    with torch.no_grad():
        assert torch.equal(found.eval()(images), bare.eval()(images))
        undropped = seen.pop()
        torch.manual_seed(1)
        found.train()(images)
    kept = seen[0] != 0
    empty = undropped == 0
    dropped = ~kept.flatten(2).any(dim=2)
    assert 0.2 < dropped.float().mean() < 0.8
    whole = (kept | empty).flatten(2).all(dim=2)
    assert (whole | dropped).all()
    torch.testing.assert_close(seen[0][whole], 2 * undropped[whole])


def test_tokens_and_volumes_are_dropped_and_pooled_too():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Linear(4, 6)
            self.head = nn.Linear(6, 2)

        def forward(self, images):
            tokens = self.stem(images.flatten(2).unflatten(2, (-1, 4)).flatten(1, 2))
            return self.head(tokens).transpose(1, 2).reshape(len(images), 2, -1, 1)

    images = torch.rand(2, 1, 8, 8)
    network = Tokens()
    network.example = (8, 8)
    found = extend(network, 1, 2, deepest="stem", dropout=0.5, gate=Gate())
    assert found.presence.linear.in_features == 12
    assert found(images).presence.shape == (2, 2)
    volume = nn.Sequential(nn.Conv3d(1, 5, 3, padding=1), nn.Conv3d(5, 2, 1))
    found = extend(volume, 1, 2, dims=3, deepest="0", dropout=0.5, gate=Gate())
    outputs = found(torch.rand(2, 1, 8, 8, 8))
    assert outputs.presence.shape == (2, 2) and outputs.masks.shape == (2, 2, 8, 8, 8)
    assert found.eval()(torch.rand(1, 1, 8, 8, 8)).shape == (1, 2, 8, 8, 8)


def test_a_network_with_a_presence_head_of_its_own_takes_the_gate_over():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.mask = nn.Conv2d(1, 2, 1)
            self.head = PresenceHead(2, 2)
            self.gate = Gate("multiply")

        def forward(self, images):
            masks = self.mask(images)
            return Outputs(masks, self.head(masks)) if self.training else masks

    network = Own()
    assert extend(network, 1, 2, gate=Gate("threshold", threshold=0.3)) is network
    assert (network.gate.effect, network.gate.threshold) == ("threshold", 0.3)


def test_where_nothing_names_the_deepest_features_no_head_is_added():
    with pytest.raises(ValueError, match="model.presence, model.dropout: nothing says where"):
        extend(nn.Conv2d(3, 2, 1), 3, 2, gate=Gate())
    with pytest.raises(RuntimeError, match="did not reach its deepest features"):
        Tap().take()


def test_channels_are_counted_without_a_trace():
    network = _smp(encoder="resnet18").train()
    before = copy.deepcopy(network.state_dict())
    places = [place for level in network.levels for place in level]
    images = torch.empty(1, 3, 64, 64, device="meta")
    assert channels_of(network, places, images) == [64, 64, 128, 256, 512]
    assert network.training and not network.encoder._forward_hooks
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("network", [_unet, _smp])
def test_compiles_without_a_graph_break(network):
    options = {"attention": {"local_levels": [2], "window": 3}, "gate": Gate(), "input_norm": False}
    found = extend(network(), 3, 2, dropout=0.1, **options)
    # what traces the graph; another backend would only differ in what it makes of it
    compiled = torch.compile(found, backend="eager", fullgraph=True)
    images = torch.rand(1, 3, 50, 64)
    with torch.no_grad():
        found.eval()
        torch.testing.assert_close(compiled(images), found(images), atol=1e-4, rtol=1e-4)
        found.train()
        torch.manual_seed(0)
        expected = found(images)
        torch.manual_seed(0)
        for one, other in zip(compiled(images), expected, strict=True):
            assert one.shape == other.shape


def _asked(name, **asked):
    row = MODELS[name]
    return extend(small(name), 5, 3, levels=row.levels, deepest=row.deepest, **asked)


@pytest.mark.parametrize("name", MODELS)
def test_every_row_can_carry_a_presence_head_and_dropout(name):
    found = _asked(name, gate=Gate("multiply"), dropout=0.2).train()
    images = torch.rand(2, 5, 64, 64)
    torch.manual_seed(5)
    outputs = found(images)
    assert outputs.presence.shape == (2, 3)
    assert outputs.presence.std(dim=0).min() > 0  # it sees the image
    masks = outputs.masks if isinstance(outputs.masks, torch.Tensor) else outputs.masks[0]
    assert masks.shape == (2, 3, 64, 64)
    before = {key: p for key, p in found.named_parameters() if key.startswith("network.")}
    outputs.presence.sum().backward()
    reached = [key for key, parameter in before.items() if parameter.grad is not None]
    assert len(reached) > 1 and all(before[key].grad.isfinite().all() for key in reached)
    bare = small(name).eval()
    bare.load_state_dict(found.network.state_dict())
    with torch.no_grad():
        gated, plain = found.eval()(images), bare(images)
    assert (gated.sigmoid() < plain.sigmoid() + 1e-6).all()
    assert torch.isfinite(gated).all() and gated.shape == plain.shape


CARRIES = [name for name in MODELS if MODELS[name].levels]
DEPTHS = {"segresnet": 4, "swin_unetr": 6, "nnunet_resenc": 6}


@pytest.mark.parametrize("name", ["attention_unet", *CARRIES])
def test_every_u_shaped_row_of_a_library_can_carry_attention_at_any_level(name):
    """Every level at once, on shapes alone: the sides halve from level to level."""
    network = small(name).to("meta")
    levels, _ = places_of(network, MODELS[name].levels, "")
    assert len(levels) == DEPTHS.get(name, 5)
    chosen = [number for number, places in enumerate(levels) if places]
    asked = {"local_levels": chosen, "external_levels": chosen, "local_heads": 1}
    found = _asked(name, attention=asked | {"external_heads": 1}).to("meta")
    sides = []
    for added in found.added:
        added.block.register_forward_hook(lambda *given: sides.append(given[2].shape[-1]))
    assert found(torch.empty(2, 5, 64, 64, device="meta"))[0].shape[-2:] == (64, 64)
    assert sorted(sides, reverse=True) == [64 // 2**level for level in chosen]


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if 3 in row.dims])
def test_every_row_of_volumes_can_carry_a_presence_head(name):
    row = MODELS[name]
    asked = {"levels": row.levels, "deepest": row.deepest, "dims": 3}
    found = extend(small(name, dims=3), 5, 3, gate=Gate(), **asked)
    assert found.presence.linear.out_features == 3
    with pytest.raises(ValueError, match="model.attention: .* U-shaped one of images"):
        extend(small(name, dims=3), 5, 3, attention={"local_levels": [0]}, **asked)


def test_threads_that_share_a_network_get_the_answers_of_one():
    """As `submit` does on a processor: the features of another thread's image must not be taken."""
    found = extend(_smp(), 3, 2, gate=Gate("multiply")).eval()
    images = torch.rand(40, 1, 3, 64, 64)

    def answer(image):
        with torch.no_grad():
            return found(image)

    alone = list(map(answer, images))
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(answer, images))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)
    assert not found.tap.kept
