"""One library in a process of its own, for `cpu_layers_peers.py`: it prepares cases and times calls on request.

    python benchmarks/cpu_layers_worker.py unroll|keras-jax|keras-tensorflow|onnxruntime THREADS BACKEND

Requests and answers are lines of JSON on standard input and output; arrays lie in `.npz` files. It imports nothing
of `torch` or `unroll` but for the side `unroll`, so that it runs in an environment that has only the peer.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

Arrays = dict[str, np.ndarray]
Call = Callable[[], Any]
Fetch = Callable[[Any], Arrays]
Engine = Callable[[dict[str, Any], Arrays], tuple[Call, Fetch]]
"""From a case and its arrays to a call that returns when all is computed, and what it computed by name."""

CHEAP = 0.02  # what takes less gets an unmeasured call before those that count


def ours(threads: int, backend: str) -> tuple[Engine, list[str]]:
    import torch

    import unroll

    torch.set_num_threads(threads)

    def prepare(case: dict[str, Any], given: Arrays) -> tuple[Call, Fetch]:
        layer = getattr(unroll, case["layer"])(case["D"], case["H"], batch_first=True, backend=backend)
        layer.load_state_dict({f"{k}_l0": torch.from_numpy(given[k]) for k in _WEIGHTS})
        x = torch.from_numpy(given["x"])
        lengths = torch.from_numpy(given["lengths"]) if case["lengths"] == "differing" else None
        gradient = torch.from_numpy(given["gradient"])
        if case["mode"] == "training":
            x.requires_grad_()
        state: Any = None

        def infer() -> Any:
            with torch.no_grad():
                return layer(x, lengths=lengths)[0]

        def step() -> Any:
            nonlocal state
            with torch.no_grad():
                y, state = layer.step(x[:, 0], state)
            return y.unsqueeze(1)

        def train() -> Any:
            x.grad = None
            layer.zero_grad(set_to_none=True)
            y, _ = layer(x, lengths=lengths)
            y.backward(gradient)
            return y.detach()

        def fetch(y: Any) -> Arrays:
            found = {"output": y.numpy(), "backend": np.array([u.backend for u in layer.used])}
            if case["mode"] == "training":
                found |= {"x": x.grad.numpy(), "weight_ih": layer.weight_ih_l0.grad.numpy()}
                found |= {"weight_hh": layer.weight_hh_l0.grad.numpy()}
            return found

        return {"inference": infer, "step": step, "training": train}[case["mode"]], fetch

    return prepare, ["torch", "unroll"]


def keras_jax(threads: int, _: str) -> tuple[Engine, list[str]]:
    os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    import jax
    import keras

    def prepare(case: dict[str, Any], given: Arrays) -> tuple[Call, Fetch]:
        layer = _keras_layer(keras, case, given)
        weights = [v.value for v in layer.trainable_variables]
        fixed = [v.value for v in layer.non_trainable_variables]
        x, gradient = jax.device_put(given["x"]), jax.device_put(given["gradient"])
        mask = _mask(case, given)

        @jax.jit
        def infer(weights: Any, x: Any, mask: Any) -> Any:
            return layer.stateless_call(weights, fixed, x, mask=mask)[0]

        def loss(weights: Any, x: Any, mask: Any, gradient: Any) -> Any:
            y = infer(weights, x, mask)
            return (y * gradient).sum(), y

        train = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        if case["mode"] == "inference":
            return lambda: jax.block_until_ready(infer(weights, x, mask)), lambda y: {"output": np.asarray(y)}

        def fetch(result: Any) -> Arrays:
            (_, y), (kernels, dx) = result
            return {"output": np.asarray(y), "x": np.asarray(dx), **_kernel_gradients(case, kernels)}

        return lambda: jax.block_until_ready(train(weights, x, mask, gradient)), fetch

    return prepare, ["keras", "jax", "jaxlib"]


def keras_tensorflow(threads: int, _: str) -> tuple[Engine, list[str]]:
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    import keras

    def prepare(case: dict[str, Any], given: Arrays) -> tuple[Call, Fetch]:
        layer = _keras_layer(keras, case, given)
        x, gradient = tf.constant(given["x"]), tf.constant(given["gradient"])
        mask = _mask(case, given)
        mask = None if mask is None else tf.constant(mask)

        @tf.function
        def infer(x: Any) -> Any:
            return layer(x, mask=mask)

        @tf.function
        def train(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, mask=mask, training=True)
                loss = tf.reduce_sum(y * gradient)
            return loss, y, tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

        def inferred() -> Any:
            y = infer(x)
            y[0, 0, 0].numpy()  # waits
            return y

        def trained() -> Any:
            result = train(x)
            result[2][-1][..., 0].numpy()
            return result

        def fetch(result: Any) -> Arrays:
            _, y, (dx, *kernels) = result
            return {"output": y.numpy(), "x": dx.numpy(), **_kernel_gradients(case, kernels)}

        if case["mode"] == "inference":
            return inferred, lambda y: {"output": y.numpy()}
        return trained, fetch

    return prepare, ["keras", "tensorflow", "tensorflow-cpu"]


def onnxruntime(threads: int, _: str) -> tuple[Engine, list[str]]:
    import onnxruntime as ort

    def prepare(case: dict[str, Any], given: Arrays) -> tuple[Call, Fetch]:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(_onnx_model(case, given), options, providers=["CPUExecutionProvider"])
        feeds = {"X": np.ascontiguousarray(given["x"].transpose(1, 0, 2))}  # it takes the steps first
        if case["lengths"] == "differing":
            feeds["lengths"] = given["lengths"].astype(np.int32)
        states = [i.name for i in session.get_inputs() if i.name.startswith("initial")]
        feeds |= {name: np.zeros((1, case["B"], case["H"]), np.float32) for name in states}

        def call() -> Any:
            y, *ends = session.run(None, feeds)
            feeds.update(zip(states, ends, strict=False))  # a whole sequence is given none
            return y

        return call, lambda y: {"output": y[:, 0].transpose(1, 0, 2)}

    return prepare, ["onnxruntime", "onnx"]


ENGINES = {
    "unroll": ours, "keras-jax": keras_jax, "keras-tensorflow": keras_tensorflow, "onnxruntime": onnxruntime,
}  # fmt: skip
_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _keras_layer(keras: Any, case: dict[str, Any], given: Arrays) -> Any:
    name = {"RNN": "SimpleRNN"}.get(case["layer"], case["layer"])
    options = {"reset_after": True} if name == "GRU" else {}
    layer = getattr(keras.layers, name)(case["H"], return_sequences=True, **options)
    layer.build((case["B"], case["T"], case["D"]))
    w_ih, w_hh, b_ih, b_hh = (_gates(given[k], case, _KERAS) for k in _WEIGHTS)
    bias = np.stack([b_ih, b_hh]) if name == "GRU" else b_ih + b_hh
    layer.set_weights([w_ih.T, w_hh.T, bias])
    return layer


def _kernel_gradients(case: dict[str, Any], kernels: Any) -> Arrays:
    # the orders differ by one exchange at most, which is its own inverse
    return {n: _gates(np.asarray(k).T, case, _KERAS) for n, k in zip(_WEIGHTS[:2], kernels, strict=False)}


def _mask(case: dict[str, Any], given: Arrays) -> np.ndarray | None:
    return np.arange(case["T"]) < given["lengths"][:, None] if case["lengths"] == "differing" else None


_KERAS = {"RNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}
_ONNX = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}
"""Which of torch's gates (i f g o, r z n) stands at each place."""


def _gates(weight: np.ndarray, case: dict[str, Any], order: dict[str, list[int]]) -> np.ndarray:
    chosen = order[case["layer"]]
    parts = np.split(weight, len(chosen))
    return np.concatenate([parts[k] for k in chosen])


def _onnx_model(case: dict[str, Any], given: Arrays) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    w, r, *biases = (_gates(given[k], case, _ONNX)[None] for k in _WEIGHTS)
    constants = {"W": w, "R": r, "bias": np.concatenate(biases, 1)}
    states = ["h", "c"] if case["layer"] == "LSTM" else ["h"]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [case["T"], case["B"], case["D"]])]
    taken = ["X", *constants, ""]
    if case["lengths"] == "differing":
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [case["B"]]))
        taken[-1] = "lengths"
    if case["mode"] == "step":
        taken += [f"initial_{s}" for s in states]
        shape = [1, case["B"], case["H"]]
        inputs += [helper.make_tensor_value_info(f"initial_{s}", TensorProto.FLOAT, shape) for s in states]
    options: dict[str, Any] = {"linear_before_reset": 1} if case["layer"] == "GRU" else {}
    made = ["Y", *(f"Y_{s}" for s in states)]
    node = helper.make_node(case["layer"], taken, made, hidden_size=case["H"], **options)
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in made]
    initial = [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph([node], "layer", inputs, outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def sample(call: Call, calls: int) -> float:
    """Seconds a call takes, the mean of several."""
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    if calls == 1 and first > CHEAP:
        return first
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def serve(prepare: Engine, answers: TextIO) -> None:
    call: Call = lambda: None  # noqa: E731
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "case" in request:
                with np.load(request["arrays"]) as stored:
                    call, fetch = prepare(request["case"], dict(stored))
                found = fetch(call())
                np.savez(request["results"], **found)
                answer: dict[str, Any] = {"prepared": True}
            else:
                answer = {"seconds": sample(call, request["calls"])}
        except Exception as error:  # whatever a library raises is the reason to record
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        own = os.times()
        answers.write(json.dumps(answer | {"processor_seconds": own.user + own.system}) + "\n")
        answers.flush()


def main() -> None:
    kind, threads, backend = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    # libraries print to standard output what they like; that is theirs, the answers go out by a copy of it
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):  # the one limit that every library's pool of threads keeps to
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    try:
        prepare, packages = ENGINES[kind](threads, backend)
        versions = {"python": sys.version.split()[0], "numpy": np.__version__}
        for package in packages:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
        hello: dict[str, Any] = {"versions": versions}
    except Exception as error:
        hello = {"error": f"{type(error).__name__}: {error}"[:500]}
    answers.write(json.dumps(hello) + "\n")
    answers.flush()
    if "versions" in hello:
        serve(prepare, answers)


if __name__ == "__main__":
    main()
