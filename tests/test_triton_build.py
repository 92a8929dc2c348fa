"""The GPU kernel goes through Triton's compiler and NVIDIA's assembler, which need no GPU."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

BUILD = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from labelfactory.interpreters.triton_kernel import label_tiles

sizes = dict(TOP=32, MEMBERS=10, H1=128, H2=32, CLASSES_PADDED=32, TILE_H=8, TILE_W=16, TAPS=16, TOP_BLOCK=32)
constants = sizes | {"PRECISION": "ieee"}
special = {"chunk_ptr": "*i32", "mask_ptr": "*u8", "uncertainty_ptr": "*fp32", "bias3_ptr": "*fp32"}
names = label_tiles.arg_names
types = {n: special.get(n, "*fp16" if n.endswith("_ptr") else "constexpr" if n in constants else "i32") for n in names}
source = ASTSource(label_tiles, types, {(names.index(n),): value for n, value in constants.items()})
kernel = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8})
assert len(kernel.asm["cubin"]) > 1000
print("shared", kernel.metadata.shared, "tensor-core products", kernel.asm["ptx"].count("wgmma.mma_async"))
"""


@pytest.mark.slow
def test_the_kernel_compiles_for_hopper() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_DEFAULT_FP_FUSION": "1"}
    done = subprocess.run([sys.executable, "-c", BUILD], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    _, shared, *_, products = done.stdout.split()
    assert int(shared) <= 227 * 1024  # what a block may have on sm_90
    assert int(products) > 0
