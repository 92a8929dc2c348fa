"""Writes pickles as the official StyleGAN2-ADA training does, from plain tensors. For tests only.

``torch_utils.persistence`` and ``dnnlib.util`` exist while pickling alone: nothing is there when a file is loaded.
"""

import ast
import collections
import contextlib
import pickle
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from conftest import DATA

BUFFERS = ("w_avg", "noise_const", "resample_filter", "freqs", "phases", "transform", "magnitude_ema")
BUFFERS += ("up_filter", "down_filter")


class Golden:
    """One golden file: config, weights, inputs and the official outputs."""

    def __init__(self, name: str) -> None:
        self.values = {key: torch.from_numpy(value) for key, value in self._arrays(name).items()}
        self.generator = self.part("state/")
        self.discriminator = self.part("discriminator/")

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(DATA / f"golden_{name}.npz") as file:
            self.config = ast.literal_eval(str(file["config"]))
            return {key: file[key] for key in file.files if key != "config"}

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        return {key.removeprefix(prefix): value for key, value in self.values.items() if key.startswith(prefix)}


class Module:
    """Pickled as the official modules are: through ``_reconstruct_persistent_obj`` with its source beside it."""

    def __init__(self, class_name: str, state: dict[str, Any], module_src: str = "raise SystemExit(1)") -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": module_src,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> tuple:
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


@contextlib.contextmanager
def official_modules() -> Iterator[type]:
    """The two official modules, with ``EasyDict`` as the value."""
    modules = {
        name: types.ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    }

    def _reconstruct_persistent_obj(meta: dict) -> None: ...

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    easy_dict = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    modules["dnnlib.util"].EasyDict = easy_dict
    sys.modules.update(modules)
    try:
        yield easy_dict
    finally:
        for name in modules:
            del sys.modules[name]


def pickled(top: dict[str, Any], protocol: int = 4) -> bytes:
    """Inside ``official_modules``."""
    return pickle.dumps(top, protocol=protocol)


def module_tree(tensors: dict[str, torch.Tensor], class_name: str, **state: Any) -> Module:
    """Nested modules out of names such as ``synthesis.b4.conv1.weight``."""
    parameters, buffers = collections.OrderedDict(), collections.OrderedDict()
    children: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        first, _, rest = name.partition(".")
        if rest:
            children.setdefault(first, {})[rest] = tensor
        elif first in BUFFERS:
            buffers[first] = tensor
        else:
            parameters[first] = torch.nn.Parameter(tensor)
    modules = collections.OrderedDict((name, module_tree(inner, "Layer")) for name, inner in children.items())
    return Module(
        class_name,
        {
            "training": False,
            "_parameters": parameters,
            "_buffers": buffers,
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": collections.OrderedDict(),
            "_modules": modules,
            **state,
        },
    )


def official_pickle(
    config: dict[str, Any],
    generator: dict[str, torch.Tensor],
    discriminator: dict[str, torch.Tensor] | None = None,
    protocol: int = 4,
    trained: dict[str, torch.Tensor] | None = None,
    **more: Any,
) -> bytes:
    """Bytes of a network snapshot; ``config`` has the names of the golden files' configs, ``generator`` becomes G_ema
    and ``trained`` G."""
    with official_modules() as easy_dict:
        size = {key: config[key] for key in ("channel_base", "channel_max")}
        size |= {"num_fp16_res": 4, "conv_clamp": config["conv_clamp"]}
        common = {key: config[key] for key in ("c_dim", "img_resolution", "img_channels")}
        g_kwargs = easy_dict(
            z_dim=config["z_dim"],
            w_dim=config["w_dim"],
            mapping_kwargs=easy_dict(num_layers=config["mapping_layers"]),
            synthesis_kwargs=easy_dict(size),
            **common,
        )
        d_kwargs = easy_dict(epilogue_kwargs=easy_dict(mbstd_group_size=config["mbstd_group_size"]), **size, **common)
        ema = module_tree(generator, "Generator", _init_args=(), _init_kwargs=g_kwargs)
        top = {"training_set_kwargs": easy_dict(class_name="training.dataset.ImageFolderDataset"), "augment_pipe": None}
        top |= {"G_ema": ema}
        if trained is not None:
            top["G"] = module_tree(trained, "Generator", _init_args=(), _init_kwargs=g_kwargs)
        if discriminator is not None:
            top["D"] = module_tree(discriminator, "Discriminator", _init_args=(), _init_kwargs=d_kwargs)
        return pickle.dumps(top | more, protocol=protocol)


def tensorflow_networks(top: list, parts: dict[str, list], judged: list | None = None) -> bytes:
    """A pickle as the TensorFlow programs write: G, D and Gs with variables, parts and source. ``parts``: variables of
    the generator's parts by name, each (name, array); ``top``: its own; ``judged``: the discriminator's."""
    module = types.ModuleType("dnnlib.tflib.network")

    class Network:
        def __init__(self, variables: list, **components: Any) -> None:
            self.version, self.static_kwargs = 4, {"resample_kernel": [1, 3, 3, 1], "fmap_base": 128}
            self.components, self.variables = components, variables
            self.build_module_src, self.build_func_name = "raise SystemExit(1)", "G_main"

    Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
    module.Network = Network  # type: ignore[attr-defined]
    names = ("dnnlib", "dnnlib.tflib", "dnnlib.tflib.network")
    sys.modules.update(dict(zip(names, (types.ModuleType("dnnlib"), types.ModuleType("t"), module), strict=True)))
    try:
        g = Network(top, **{name: Network(variables) for name, variables in parts.items()})
        return pickle.dumps((g, Network(judged or []), g), protocol=4)
    finally:
        for name in names:
            del sys.modules[name]
