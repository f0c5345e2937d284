import pytest
import torch
import torch.nn.functional as F

from gutseg.models.kiunet import Fusion, kiunet
from tests.models.plain import conv, count, enlarge, norm, random_norms


def test_has_0_29_million_parameters_with_the_two_layers_that_the_authors_never_call():
    never_called = 2 * (64 * 64 * 9 + 64 + 2 * 64)
    assert count(kiunet(3, 3)) == 217_131
    assert round((count(kiunet(1, 2)) + never_called) / 1e6, 2) == 0.29


def test_each_branch_adds_the_other_at_its_own_size():
    torch.manual_seed(0)
    block = random_norms(Fusion(3))
    under, over = torch.rand(2, 3, 2, 4), torch.rand(2, 3, 8, 16)
    state = block.state_dict()

    def seen(name, features):
        return norm(state, f"{name}.2", conv(state, f"{name}.0", features)).relu()

    with torch.no_grad():
        found = block(under, over)
    torch.testing.assert_close(found[0], under + enlarge(seen("from_over", over), 1 / 4))
    torch.testing.assert_close(found[1], over + enlarge(seen("from_under", under), 4))


def _plain(state, images):
    """Figure 4 a at three levels: enlarge and shrink, fuse, skip, add."""

    def step(name, features, resize):
        return norm(state, f"{name}.2", resize(conv(state, f"{name}.0", features))).relu()

    def shrunk(features):
        return F.max_pool2d(features, 2)

    def doubled(features):
        return enlarge(features, 2)

    def fuse(name, under, over, ratio):
        lowered = enlarge(step(f"{name}.from_over", over, lambda same: same), 1 / ratio)
        lifted = enlarge(step(f"{name}.from_under", under, lambda same: same), ratio)
        return under + lowered, over + lifted

    u1, o1 = step("under.0", images, shrunk), step("over.0", images, doubled)
    u1, o1 = fuse("fusions.0", u1, o1, 4)
    u2, o2 = step("under.1", u1, shrunk), step("over.1", o1, doubled)
    u2, o2 = fuse("fusions.1", u2, o2, 16)
    u3, o3 = step("under.2", u2, shrunk), step("over.2", o2, doubled)
    u3, o3 = fuse("fusions.2", u3, o3, 64)
    u4, o4 = step("under_back.0", u3, doubled), step("over_back.0", o3, shrunk)
    u4, o4 = fuse("fusions_back.0", u4, o4, 16)
    u4, o4 = u4 + u2, o4 + o2
    u5, o5 = step("under_back.1", u4, doubled), step("over_back.1", o4, shrunk)
    u5, o5 = fuse("fusions_back.1", u5, o5, 4)
    u5, o5 = u5 + u1, o5 + o1
    u6, o6 = step("under_back.2", u5, doubled), step("over_back.2", o5, shrunk)
    return conv(state, "head", u6 + o6)


def test_matches_figure_4_written_step_by_step():
    torch.manual_seed(0)
    network = random_norms(kiunet(2, 3, widths=(4, 6, 8)))
    images = torch.rand(2, 2, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(network(images), _plain(network.state_dict(), images))


def test_the_deepest_map_has_eight_times_the_sides_of_the_image():
    network, sizes = kiunet(1, 1, widths=(2, 2, 2)).eval(), []
    network.over[2].register_forward_hook(lambda _, __, found: sizes.append(found.shape))
    with torch.no_grad():
        network(torch.rand(1, 1, 16, 20))
    assert sizes == [(1, 2, 128, 192)]


def test_logits_take_both_signs():
    torch.manual_seed(0)
    network = random_norms(kiunet(1, 2, widths=(4, 4)))
    with torch.no_grad():
        network.head.bias.fill_(-5)
        assert network(torch.rand(1, 1, 8, 8)).max() < 0


@pytest.mark.parametrize("widths", [(3,), (4, 2), (2, 2, 2, 2)])
def test_any_number_of_levels(widths):
    network = kiunet(1, 2, widths=widths)
    network(torch.rand(2, 1, 9, 16)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
