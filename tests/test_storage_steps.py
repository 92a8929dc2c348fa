"""Which positions a step reads: together the ranks read the next ones, and all ranks equally many."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labelfactory.storage import InputError
from labelfactory.storage.steps import Steps


@settings(deadline=None)
@given(
    count=st.integers(1, 60),
    batch=st.integers(1, 9),
    ranks=st.integers(1, 8),
    position=st.floats(0, 1),
    drop_last=st.booleans(),
)
def test_the_ranks_together_read_the_next_positions(count, batch, ranks, position, drop_last):
    assume(count >= (batch * ranks if drop_last else ranks))
    runs = [Steps(count, batch, ranks, rank, drop_last) for rank in range(ranks)]
    epoch, at = 4, int(position * count)
    begun = at
    for number in range(3 * runs[0].per_epoch + 1):
        steps = [run.step(4, begun, number) for run in runs]
        if steps[0].epoch != epoch:
            assert count - at < (batch * ranks if drop_last else ranks)
            assert steps[0].epoch == epoch + 1
            epoch, at = epoch + 1, 0
        sizes = {step.stop - step.start for step in steps}
        assert len(sizes) == 1
        assert 1 <= sizes.pop() <= batch
        assert [position for step in steps for position in range(step.start, step.stop)] == list(
            range(at, steps[0].end)
        )
        assert len({step.end for step in steps}) == 1
        at = steps[0].end


def test_workers_share_a_rank_s_steps():
    run = Steps(count=50, batch=4, ranks=2)
    walks = [run.walk(0, 8, worker, 3) for worker in range(3)]
    assert [next(walks[number % 3]) for number in range(20)] == [run.step(0, 8, number) for number in range(20)]


def test_lengths():
    assert Steps(count=50, batch=4).per_epoch == 13
    assert Steps(count=50, batch=4, drop_last=True).per_epoch == 12
    assert Steps(count=50, batch=4, ranks=3).per_epoch == 4  # 4 of 12, then 2 samples are less than 3 ranks
    assert Steps(count=50, batch=4).left(48) == 1


def test_too_few_samples_are_refused_instead_of_an_endless_wait():
    with pytest.raises(InputError, match="3 samples give no batch of 1 to each of 4 ranks"):
        Steps(count=3, batch=1, ranks=4)
    with pytest.raises(InputError, match="drop_last=False"):
        Steps(count=3, batch=4, drop_last=True)
    with pytest.raises(InputError, match="rank 2 of 2"):
        Steps(count=3, batch=1, ranks=2, rank=2)
