"""StyleGAN behind the generator's contract."""

from typing import Any

import numpy as np
import torch
from torch import nn

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import Contents, Network, plain_table
from labelfactory.factory.checkpoints.filling import filled
from labelfactory.factory.style_based import StyleBased
from labelfactory.factory.stylegan1.networks import Config, Generator
from labelfactory.factory.stylegan1.weights import (
    LEARNING_RATE,
    Found,
    from_rosinality,
    from_tensorflow,
    is_rosinality,
    is_tensorflow,
)
from labelfactory.factory.stylegan2_ada.checkpoint import our_metadata

WISHES = {"tensorflow": "mapping_lr", "rosinality": "resolution"}  # what each maker's files do not say
MEAN_SAMPLES = 10_000  # of w, where a file does not have their mean


class StyleGAN(StyleBased):
    """Feature maps are the outputs of every AdaIN, two of each resolution."""

    def __init__(
        self, network: Generator, contents: Contents, metadata: dict[str, Any], device: torch.device, precision: str
    ) -> None:
        super().__init__(network, None, device, precision)
        config = network.config
        self.sha256, self.metadata = contents.sha256, metadata
        self.size = (config.resolution, config.resolution)
        self.image_channels, self.num_classes = config.img_channels, config.c_dim
        self.latent_shape, self.style_shape = (config.z_dim,), (2 * len(config.channels), config.w_dim)
        self.feature_channels = [channels for channels in config.channels for _ in range(2)]
        self.feature_sizes = [(4 << i, 4 << i) for i in range(len(config.channels)) for _ in range(2)]

    @classmethod
    def claims(cls, contents: Contents) -> bool:
        if contents.form == "labelfactory":
            return contents.family == "stylegan"
        network = contents.generator
        return network is not None and (is_tensorflow(network.names) or is_rosinality(network.names))

    @classmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "StyleGAN":
        found = contents.generator
        try:
            if found is None:
                raise InputError("checkpoint has no generator")
            if contents.form == "labelfactory":
                contents.says_all()
                metadata, tensors = our_metadata(contents), dict(found.tensors)
                config = Config.of(plain_table(contents.header.get("generator")))
            else:
                (tensors, config), metadata = _theirs(found, contents.config)
            if config.img_channels not in (1, 3):
                raise InputError(f"makes pictures of {config.img_channels} channels; expected 1 (grey) or 3 (RGB)")
            known = "mapping.w_avg" in tensors
            tensors.setdefault("mapping.w_avg", torch.zeros(config.w_dim))
            network = filled(Generator, config.to_dict(), tensors, "generator")
        except InputError as error:
            raise InputError(f"{contents.name}: {error}") from None
        if not known:
            metadata["w_avg"] = "estimated: the file has no mean style vector"
            network.mapping.w_avg.copy_(_mean_style(network))
        return cls(network, contents, metadata, device, precision)

    def set_precision(self, network: nn.Module, dtype: torch.dtype) -> None:
        if isinstance(network, Generator):
            network.synthesis.dtype = dtype


def _theirs(network: Network, config: dict[str, Any]) -> tuple[Found, dict[str, Any]]:
    """Weights under our names, and what is said of them."""
    maker = "tensorflow" if is_tensorflow(network.names) else "rosinality"
    metadata: dict[str, Any] = {"format": f"stylegan of {maker}"}
    unknown = sorted(config.keys() - {WISHES[maker]})
    if unknown:
        raise InputError(f"network config: unknown setting {', '.join(unknown)}; expected {WISHES[maker]}")
    wish = config.get(WISHES[maker])
    if maker == "tensorflow":
        rate = network.settings.get("mapping_lrmul", LEARNING_RATE) if wish is None else wish
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not 1e-6 <= rate <= 1e3:
            raise InputError(f"network config: mapping_lr is {rate!r}; expected a number from 1e-06 to 1000")
        return from_tensorflow(network.tensors, rate), metadata
    if wish is not None and (type(wish) is not int or wish not in [4 << i for i in range(11)]):
        raise InputError(f"network config: resolution is {wish!r}; expected 4, 8, … 4096")
    found = from_rosinality(network.tensors, wish)
    if wish is None:
        metadata["assumed"] = f"resolution {found.config.resolution}, the highest with a trained picture"
    return found, metadata


@torch.no_grad()
def _mean_style(network: Generator) -> torch.Tensor:
    z = np.random.default_rng(0).standard_normal((MEAN_SAMPLES, network.config.z_dim), dtype=np.float32)
    count = network.config.c_dim
    classes = torch.eye(count)[torch.arange(MEAN_SAMPLES) % count] if count else None
    return network.mapping(torch.from_numpy(z), classes)[:, 0].mean(0)
