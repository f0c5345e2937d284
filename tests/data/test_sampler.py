import numpy as np
import pytest

from gutseg.data.sampler import BatchSampler

HAS_LABEL = np.arange(50) % 5 < 2  # 20 annotated, 30 empty


def _positions(**settings):
    sampler = BatchSampler(HAS_LABEL, 8, seed=0, **settings)
    return [batch.positions for batch in sampler]


def test_an_epoch_takes_every_sample_once_and_fills_the_last_batch():
    batches = _positions()
    assert [len(batch) for batch in batches] == [8] * 7
    assert sorted(np.concatenate(batches)[:50]) == list(range(50))


def test_epochs_differ_and_repeat():
    sampler = BatchSampler(HAS_LABEL, 8, seed=0)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    sampler.set_epoch(0)
    again = list(sampler)
    assert not np.array_equal(first[0].positions, second[0].positions)
    assert first[0].seed != second[0].seed
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(first, again, strict=True))
    assert [b.seed for b in first] == [b.seed for b in again]
    other = list(BatchSampler(HAS_LABEL, 8, seed=1))
    assert not np.array_equal(first[0].positions, other[0].positions)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 20), (0.5, 35), (1.0, 50)])
def test_share_of_empty_slices(share, expected):
    batches = np.concatenate(_positions(empty_share=share))
    assert len(set(batches.tolist())) == expected
    assert HAS_LABEL[list(set(batches.tolist()))].sum() == 20


def test_other_epochs_see_other_empty_slices():
    sampler = BatchSampler(HAS_LABEL, 8, seed=0, empty_share=0.2)
    seen = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        seen |= set(np.concatenate([b.positions for b in sampler]).tolist())
    assert len(seen) == 50


def test_ranks_share_the_epoch_and_never_the_sample():
    ranks = [_positions(rank=rank, world_size=2) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == 4
    both = np.concatenate([np.concatenate(rank) for rank in ranks])
    assert set(both.tolist()) == set(range(50))
    assert not set(ranks[0][0].tolist()) & set(ranks[1][0].tolist())


def test_ranks_augment_differently():
    seeds = [
        next(iter(BatchSampler(HAS_LABEL, 8, seed=0, rank=r, world_size=2))).seed for r in (0, 1)
    ]
    assert seeds[0] != seeds[1]


def test_fixed_number_of_steps_goes_round():
    batches = _positions(steps=20)
    assert len(batches) == 20
    assert np.bincount(np.concatenate(batches)).min() >= 3


def test_nothing_to_draw_from():
    with pytest.raises(ValueError, match="no samples: 30 empty, empty_share = 0"):
        BatchSampler(np.zeros(30, bool), 8, seed=0, empty_share=0.0)
