"""The backend `triton`: kernels for whole sequences on NVIDIA GPUs, compiled by Triton at first use.

`extension.py` finds Triton; `forward.py` and `backward.py` are the kernels, `device.py` is what they share, and
`launch.py` hands tensors to them; `refusals.py` says what they cannot serve, `measured.py` where they are known to be
the faster; `serve.py` serves.
"""
