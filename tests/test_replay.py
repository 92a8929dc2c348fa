"""What a GPU records: steps without a look at values; on the CPU a replayed generator is the plain one."""

import numpy as np
import pytest
import torch
from tiny_world import TinyWorld

from labelfactory.factory.cuda_graph import Replay
from labelfactory.factory.latents import latents
from labelfactory.factory.production.host_copy import HostCopy
from labelfactory.factory.stylegan2_ada.networks import Generator

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
cuda = pytest.mark.cuda


def test_synthesis_asks_for_no_value() -> None:
    """On the meta device there are no values: whatever would wait for one (or mix devices) fails."""
    with torch.device("meta"):
        network = Generator(8, 0, 16, img_resolution=32, img_channels=3, conv_clamp=256.0).requires_grad_(False)
        features: list[torch.Tensor] = []
        image = network.synthesis(torch.empty(4, network.num_ws, 16), "const", features)
    assert image.shape == (4, 3, 32, 32)
    assert {f.device.type for f in features} == {"meta"}
    with torch.device("meta"), pytest.raises((RuntimeError, NotImplementedError)):
        torch.empty(2).sum().item()


def test_on_the_cpu_a_replayed_generator_is_the_plain_one(tiny_world: TinyWorld) -> None:
    plain, replayed = tiny_world.generator, tiny_world.generator.replayed()
    first = replayed.generate(latents([1, 2], 8))
    replayed.generate(latents([3, 4], 8))
    expected = plain.generate(latents([1, 2], 8))
    assert torch.equal(first.images, expected.images)
    assert all(torch.equal(a, b) for a, b in zip(first.feature_maps, expected.feature_maps, strict=True))


def test_what_lies_on_the_host_is_handed_on() -> None:
    mask = torch.arange(6, dtype=torch.uint8).view(2, 3)
    copy = HostCopy({"mask": mask, "score": torch.ones(2, dtype=torch.float16)})
    assert copy.arrays()["mask"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert copy.arrays()["score"].dtype == np.float16


@cuda
@needs_cuda
def test_a_recording_gives_what_the_plain_call_gives(tiny_world: TinyWorld) -> None:
    network = tiny_world.generator._network.cuda()

    def run(ws: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        features: list[torch.Tensor] = []
        return network.synthesis(ws, "const", features), features

    replay = Replay(run)
    with torch.inference_mode():
        for count in (4, 2, 4):
            ws = torch.randn(count, network.num_ws, network.w_dim, device="cuda")
            image, features = replay(ws)
            expected, maps = run(ws)
            torch.testing.assert_close(image, expected, rtol=0, atol=1e-3)
            for a, b in zip(features, maps, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=1e-2)
    network.cpu()


@cuda
@needs_cuda
def test_copies_are_complete_while_the_device_goes_on() -> None:
    made = []
    for i in range(20):
        made.append(HostCopy({"x": torch.full((1 << 20,), i, device="cuda")}))
    assert all((copy.arrays()["x"] == i).all() for i, copy in enumerate(made))
