"""A function's work on a CUDA device, recorded once and then launched as a whole (a CUDA graph)."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

WARM_UP = 3  # calls before the recording: libraries choose their algorithms and allocate what they keep


class _Recording(NamedTuple):
    graph: Any
    given: Tensor
    result: Any


class Replay:
    """Calls ``function(tensor)``; on a CUDA device as one launch instead of hundreds.

    One recording for each shape of the input. **What a call returns lies in memory that the next call of the same
    shape writes over**: use it up, on the same stream, before. The function must be free of steps whose size or order
    depends on values, and must not ask the device for any. Elsewhere than on CUDA it is simply called. Where recording
    fails (other work on the device in the same process can spoil it), a warning says so and calls stay plain.
    """

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self._function = function
        self._recordings: dict[tuple[Any, ...], _Recording] = {}
        self._plain = False

    def __call__(self, x: Tensor) -> Any:
        if x.device.type != "cuda" or self._plain:
            return self._function(x)
        key = (x.shape, x.dtype, x.device)
        if key not in self._recordings:
            try:
                self._recordings[key] = self._record(x)
            except RuntimeError as error:
                warnings.warn(f"no CUDA graph, going on without: {str(error).splitlines()[0]}", stacklevel=2)
                self._plain = True
                return self._function(x)
        recording = self._recordings[key]
        recording.given.copy_(x)
        recording.graph.replay()
        return recording.result

    def _record(self, x: Tensor) -> _Recording:
        with torch.cuda.device(x.device):
            given, stream = x.clone(), torch.cuda.Stream(x.device)
            stream.wait_stream(torch.cuda.current_stream(x.device))
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self._function(given)
            torch.cuda.current_stream(x.device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may go on meanwhile
                result = self._function(given)
        return _Recording(graph, given, result)
