"""Kernels run by Triton's interpreter, on the CPU, against plain references.

    cd crates/cuda-kernels/kernels && python -m interpret [module ...]

Needs Triton and PyTorch and no GPU. A module's checks are its functions named `check_…`.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"
