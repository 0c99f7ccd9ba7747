"""The backend `cpu`: compiled kernels for whole sequences, `unroll._kernels`.

`extension.py` finds them, `kernels.py` hands tensors to them, `serve.py` says what they can serve and serves it,
`operators.py` makes them known to `torch.compile` and `torch.export`.
"""
