"""Models of the ``transformers`` library: made from a configuration or a folder of ``save_pretrained``; nothing is
fetched."""

from pathlib import Path
from typing import Annotated, Any

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter

Folder = Annotated[Path | None, Parameter("Folder that save_pretrained wrote.", place=True)]
Overrides = Annotated[dict[str, Any] | None, Parameter("Changes of the library's default configuration, as JSON.")]


def library_model(
    config_name: str, model_name: str, folder: Path | None, settings: dict[str, Any], overrides: dict[str, Any] | None
) -> Any:
    """``settings`` are what the task asks for, ``overrides`` what somebody wishes of the default configuration.

    InputError where the library is not installed, does not know the model, or the folder holds none.
    """
    try:
        import transformers
    except ImportError as error:
        raise InputError(f"{model_name} needs the transformers library: pip install labelfactory[hf]") from error
    if not hasattr(transformers, model_name):
        raise InputError(f"transformers {transformers.__version__} has no {model_name}: update it")
    model_class = getattr(transformers, model_name)
    if folder is None:
        return model_class(getattr(transformers, config_name).from_dict({**(overrides or {}), **settings}))
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no config.json: give a folder written by save_pretrained")
    return model_class.from_pretrained(folder, ignore_mismatched_sizes=True, local_files_only=True, **settings)
