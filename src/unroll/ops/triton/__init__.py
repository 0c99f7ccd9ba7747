"""The backend `triton`: kernels for whole sequences on NVIDIA GPUs, compiled by Triton at first use.

`extension.py` finds Triton, `kernels.py` are the two kernels, `launch.py` hands tensors to them, `refusals.py` says
what they cannot serve, `measured.py` where they are known to be the faster, `serve.py` serves.
"""
