"""Planning: the arithmetic agrees with real stores, the simulation with what can be known without one."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_data import make_arrays, make_spec

from labelfactory.errors import InputError
from labelfactory.factory.production.fleet import Fleet, simulate
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.planning import Calibration, calibrate, sizes
from labelfactory.storage import create_store, finalize
from labelfactory.storage.backends.remote import RemoteBackend

QUIET = Fleet(workers=4, mtbf_hours=math.inf, spread=0.0, straggler_share=0.0)


def test_nothing_goes_wrong_in_a_quiet_fleet():
    outcome = simulate(shards=80, shard_s=10.0, shards_per_task=1, fleet=QUIET, start_s=5.0, seed=0)
    assert outcome.completion_s == pytest.approx(5 + 80 / 4 * 10)
    assert (outcome.wasted_s, outcome.deaths) == (0, 0)
    coarse = simulate(shards=80, shard_s=10.0, shards_per_task=25, fleet=QUIET, start_s=5.0, seed=0)
    assert coarse.completion_s == pytest.approx(5 + 250)  # tasks of 25, 25, 25 and 5


def test_deaths_cost_half_a_shard_each_on_average():
    fleet = Fleet(workers=8, mtbf_hours=0.5, restart_s=30.0, takeover_s=60.0, spread=0.0, straggler_share=0.0)
    runs = [simulate(2000, 20.0, 4, fleet, 0.0, seed) for seed in range(10)]
    deaths = sum(run.deaths for run in runs)
    assert deaths > 200
    assert sum(run.wasted_s for run in runs) / deaths == pytest.approx(10, rel=0.15)
    # 40,000 s of work on 8 workers, who are down for 30 s of every 1830 s
    assert sum(run.completion_s for run in runs) / 10 == pytest.approx(5000 * 1830 / 1800 * 1.011, rel=0.03)


@given(
    shards=st.integers(1, 300),
    per_task=st.integers(1, 40),
    workers=st.integers(1, 50),
    mtbf_hours=st.sampled_from([0.01, 0.1, 1.0, math.inf]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_every_shard_is_made_whatever_dies(shards, per_task, workers, mtbf_hours, seed):
    fleet = Fleet(workers=workers, mtbf_hours=mtbf_hours)
    outcome = simulate(shards, 2.0, per_task, fleet, 1.0, seed)
    assert outcome.completion_s >= 1 + outcome.busy_s / workers - 1e-6
    assert outcome.wasted_s >= 0
    assert math.isfinite(outcome.completion_s)


def test_wrong_numbers_are_refused():
    with pytest.raises(InputError, match="workers is 0"):
        Fleet(workers=0)
    with pytest.raises(InputError, match="pairs_per_second is 0"):
        Calibration(0.0, 1.0, 1.0)


class CountedRequests:
    """Stands before a file system and counts what a server would be asked."""

    KINDS: ClassVar = {"cat_ranges": "gets", "cat_file": "gets", "pipe_file": "puts", "rm_file": "deletes"}

    def __init__(self, fs: Any, counts: Counter[str]) -> None:
        self._fs, self._counts = fs, counts

    def __getattr__(self, name: str) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            asked = len(args[0]) if name == "cat_ranges" else 1
            self._counts[self.KINDS.get(name, name)] += asked
            return getattr(self._fs, name)(*args, **kwargs)

        return counted if callable(getattr(self._fs, name)) else getattr(self._fs, name)


def test_requests_of_a_shard_are_those_of_the_real_protocol():
    spec, counts = make_spec(count=40), Counter[str]()
    with create_store("memory://plan-requests/store.zarr", spec) as store:
        assert isinstance(store.backend, RemoteBackend)
        store.backend.fs = CountedRequests(store.backend.fs, counts)
        arrays = [make_arrays(spec, shard) for shard in range(store.num_shards)]
        for shard in store.claim_missing(range(store.num_shards)):  # as factory.production.line.make_shards does it
            store.write_shard(shard, arrays[shard])
        made = Counter(counts)
        finalize(store)
    told = sizes(spec, Calibration(1e9, 100.0, 0.0))
    shards = store.num_shards
    assert made["deletes"] == told.deletes == shards
    assert made["puts"] == told.puts - shards  # all but the chunks of keep
    assert made["gets"] == told.gets - 2 * shards
    finishing = counts - made
    assert finishing["puts"] - shards < 5  # manifest and claim beside the chunks of keep
    assert finishing["gets"] - 2 * shards < 40


def test_manifest_is_as_large_as_planned():
    spec = make_spec(count=400)
    with create_store("memory://plan-manifest/store.zarr", spec) as store:
        for shard in store.claim_missing():
            store.write_shard(shard, make_arrays(spec, shard))
        manifest = finalize(store)
    entries = len(manifest.to_bytes()) - 4500  # hashes of the metadata documents do not grow
    assert entries / spec.num_shards == pytest.approx(
        sizes(spec, Calibration(1.0, 1.0, 0.0)).manifest_bytes / 100, rel=0.3
    )


def test_calibration_measures_this_machine(tiny_world):
    order = Order(str(tiny_world.checkpoint), "x", 10**7, labels=str(tiny_world.labels), device="cpu")
    measured, spec = calibrate(order, batches=1)
    assert spec.count == 10**7
    assert measured.pairs_per_second > 1
    assert 16 * 16 < measured.bytes_per_pair < 3000
    assert replace(spec, count=32).hash == spec.hash
