"""The backend `triton`: kernels for whole sequences on NVIDIA GPUs, compiled by Triton at first use.

`extension.py` finds Triton; `forward.py` and `backward.py` are the kernels, `common.py` is what they share, and
`launch.py` hands tensors to them; `support.py` says what they cannot serve, `heuristics.py` where they are known to be
the faster; `backend.py` serves.
"""
