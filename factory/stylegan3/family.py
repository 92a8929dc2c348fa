"""StyleGAN3 behind the generator's contract: its maps lose their margin, so that each covers exactly the picture."""

import re
from typing import Any

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import Contents, Network, plain_table
from labelfactory.factory.checkpoints.filling import filled
from labelfactory.factory.style_based import StyleBased
from labelfactory.factory.stylegan2_ada.checkpoint import discriminator_of, our_discriminator, our_metadata
from labelfactory.factory.stylegan2_ada.networks import Discriminator, set_precision
from labelfactory.factory.stylegan3.config import Config
from labelfactory.factory.stylegan3.networks import Generator

_ARGUMENTS = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs")
# Settings that say nothing of the arithmetic of sampling.
_PASSED_OVER = ("magnitude_ema_beta", "magnitude_beta")


class StyleGAN3(StyleBased):
    """Feature maps are the outputs of every layer but the one that makes the picture."""

    def __init__(
        self,
        network: Generator,
        discriminator: Discriminator | None,
        contents: Contents,
        metadata: dict[str, Any],
        device: torch.device,
        precision: str,
    ) -> None:
        super().__init__(network, discriminator, device, precision)
        config, layers = network.config, network.synthesis.plan[:-1]
        self.sha256, self.metadata = contents.sha256, metadata
        self.size = (config.img_resolution, config.img_resolution)
        self.image_channels, self.num_classes = config.img_channels, config.c_dim
        self.latent_shape, self.style_shape = (config.z_dim,), (network.num_ws, config.w_dim)
        self.feature_channels = [layer.channels for layer in layers]
        self.feature_sizes = [(layer.rate, layer.rate) for layer in layers]

    @classmethod
    def claims(cls, contents: Contents) -> bool:
        if contents.form == "labelfactory":
            return contents.family == "stylegan3"
        network = contents.generator
        return network is not None and "synthesis.input.freqs" in network.names

    @classmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "StyleGAN3":
        found = contents.generator
        try:
            if found is None:
                raise InputError("checkpoint has no generator")
            if contents.form == "labelfactory":
                contents.says_all()
            ours = contents.form == "labelfactory"
            config = Config.of(plain_table(contents.header.get("generator"))) if ours else _config(found, contents)
            if config.img_channels not in (1, 3):
                raise InputError(f"makes pictures of {config.img_channels} channels; expected 1 (grey) or 3 (RGB)")
            network = filled(Generator, config.to_dict(), found.tensors, "G_ema")
            metadata = our_metadata(contents) if ours else {"format": "official"}
            if found.record is None and not ours:
                metadata["assumed"] = "frequencies of the usual configuration, which the file does not say"
            discriminator = our_discriminator(contents) if ours else discriminator_of(contents, metadata)
        except InputError as error:
            raise InputError(f"{contents.name}: {error}") from None
        return cls(network, discriminator, contents, metadata, device, precision)

    def set_precision(self, network: nn.Module, dtype: torch.dtype) -> None:
        if isinstance(network, Generator):
            network.synthesis.half_dtype = dtype
        elif isinstance(network, Discriminator):
            set_precision(network, dtype)

    def _synthesis(self, ws: Tensor) -> tuple[Tensor, list[Tensor]]:
        image, features = super()._synthesis(ws)
        return image, [feature.contiguous() for feature in features]


def _config(network: Network, contents: Contents) -> Config:
    if network.record is None:
        return Config.of(_config_of_weights(network).to_dict() | contents.config)
    contents.says_all()
    given: dict[str, Any] = dict(zip(_ARGUMENTS, network.record.state.get("_init_args") or (), strict=False))
    given.update(network.record.table("_init_kwargs"))
    mapping = given.pop("mapping_kwargs", None)
    if isinstance(mapping, dict) and "num_layers" in mapping:
        given["mapping_layers"] = mapping["num_layers"]
    given.update(given.pop("synthesis_kwargs", None) or {})
    missing = [name for name in _ARGUMENTS[:5] if name not in given]
    if missing:
        raise InputError(f"checkpoint's {network.class_name} does not say its {', '.join(missing)}")
    return Config.of({name: value for name, value in given.items() if name not in _PASSED_OVER})


def _config_of_weights(network: Network) -> Config:
    """What weights tell; the frequencies are the usual ones, and layers of other sizes are refused by their names."""
    layers = {
        int(f[1]): (int(f[2]), int(f[3]))
        for n in network.names
        if (f := re.match(r"synthesis\.L(\d+)_(\d+)_(\d+)\.", n))
    }
    last = max(layers, default=0)
    if last < 3:
        raise InputError("checkpoint's network has no layers synthesis.L0 …")
    tensors = network.tensors
    try:
        first = f"synthesis.L0_{layers[0][0]}_{layers[0][1]}"
        kernel, w_dim = tensors[f"{first}.weight"].shape[-1], tensors[f"{first}.affine.weight"].shape[1]
        embedded = "mapping.embed.weight" in tensors
        size, channels = layers[last]
        most = max(c for i, (_, c) in layers.items() if i < last)
        finest = layers[last - 1][1]
        return Config(
            z_dim=tensors["mapping.fc0.weight"].shape[1] - (w_dim if embedded else 0),
            c_dim=tensors["mapping.embed.weight"].shape[1] if embedded else 0,
            w_dim=w_dim,
            img_resolution=size,
            img_channels=channels,
            mapping_layers=len([n for n in tensors if re.fullmatch(r"mapping\.fc\d+\.weight", n)]),
            channel_base=max(finest * size, 1),
            channel_max=most,
            num_layers=last,
            conv_kernel=kernel,
            use_radial_filters=kernel == 1,
        )
    except (KeyError, IndexError) as error:
        raise InputError(f"checkpoint's network has no {error}") from None
