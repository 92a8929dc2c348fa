"""Latents depend on their seeds alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.factory.latents import latents

SEEDS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8)


@given(SEEDS, st.integers(1, 64))
def test_a_row_is_the_same_alone_and_among_others(seeds: list[int], z_dim: int) -> None:
    together = latents(seeds, z_dim)
    assert together.dtype == np.float32
    assert together.shape == (len(seeds), z_dim)
    for seed, row in zip(seeds, together, strict=True):
        np.testing.assert_array_equal(latents([seed], z_dim)[0], row)


def test_rows_are_standard_normal_and_stay_what_they_were() -> None:
    z = latents(range(2000), 16)
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02
    assert latents([], 16).shape == (0, 16)
    np.testing.assert_allclose(latents([7], 3)[0], LATENT_OF_SEVEN, rtol=1e-6)


LATENT_OF_SEVEN = np.array([-0.2933390140533447, 1.703830599784851, 1.5391918420791626], np.float32)
