"""Results on their way from a device to the host, while the device goes on with the next batch."""

from functools import cache

import numpy as np
import torch
from torch import Tensor


class HostCopy:
    """A copy of device tensors that has been started; ``arrays`` waits for it.

    From CUDA it goes into pinned memory, on a stream of its own, so that neither the next batch waits for the copy nor
    the copy for the next batch. Tensors of the CPU are handed on as they are.
    """

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._host, self._done = dict(tensors), None
        device = next((t.device for t in tensors.values() if t.device.type == "cuda"), None)
        if device is None:
            return
        with torch.cuda.device(device):
            stream = _stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for name, tensor in tensors.items():
                    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                    self._host[name] = pinned.copy_(tensor, non_blocking=True)
                    tensor.record_stream(stream)  # its memory is not given to the next batch before the copy is done
                self._done = stream.record_event()

    def arrays(self) -> dict[str, np.ndarray]:
        """The copies, complete."""
        if self._done is not None:
            self._done.synchronize()
        return {name: tensor.numpy() for name, tensor in self._host.items()}


@cache
def _stream(device: torch.device) -> "torch.cuda.Stream":
    return torch.cuda.Stream(device)
