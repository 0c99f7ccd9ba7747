"""The backend `cpu`: compiled kernels for whole sequences, `unroll._kernels`.

`extension.py` finds them, `kernels.py` hands tensors to them, `backend.py` says what they can serve and serves it,
`compile_ops.py` makes them known to `torch.compile` and `torch.export`.
"""
