"""One process or several: who computes which samples of a batch, and sums over all of them."""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Int


@dataclass(frozen=True)
class World:
    """The processes of a run and this one's place among them."""

    rank: int
    size: int
    device: torch.device

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sums a tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def mean_gradients(self, parameters: list[torch.nn.Parameter], finite: bool = False) -> None:
        """Averages gradients over the processes, in one message. ``finite`` replaces what overflowed (float16)."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients or (self.size == 1 and not finite):
            return
        flat = self.sum_(torch.cat([g.flatten() for g in gradients])) / self.size
        if finite:
            flat = torch.nan_to_num(flat, nan=0.0, posinf=1e5, neginf=-1e5)
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, flag: bool) -> bool:
        """Whether any process says so: all leave a loop at the same step."""
        if self.size == 1:
            return flag
        return bool(self.sum_(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Until all are here: a process that ends while another still works can be taken down with it by gloo."""
        if self.size > 1:
            dist.barrier()


def join(device: str = "auto") -> World:
    """This process's place as torchrun's environment says; without it, alone.

    On CUDA each process takes the GPU of its local rank (NCCL), on a CPU they talk through gloo.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {device!r}: expected auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda': this machine has none that PyTorch can use; take auto or cpu")
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind == "cuda":
        kind = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(kind)
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    return World(rank, size, torch.device(kind))


def leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def share(batch: int, group: int, shares: int, index: int) -> Int[Tensor, " samples"]:
    """Which samples of a batch the share ``index`` of ``shares`` computes.

    The minibatch standard deviation of n samples takes sample i, i + n/group, … into one group. Shares are cut so that
    each holds whole groups of the whole batch: its statistics, and so the training, do not depend on the split.
    """
    columns = batch // min(group, batch)
    if columns % shares:
        return torch.arange(batch).chunk(shares)[index]
    return torch.arange(batch).view(-1, columns).chunk(shares, dim=1)[index].flatten()
