"""Matrix products with bfloat16 factors, for the duration of a training step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch


@contextmanager
def matmul_precision(precision: Literal["float32", "bfloat16"]) -> Iterator[None]:
    """Let float32 products round their factors to bfloat16, sums staying float32.

    Four to five times as fast on processors with AMX, slower on those without bfloat16.
    """
    if precision == "float32":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
