"""Runs a version's model.onnx in ONNX Runtime, for a server that has only the Python backend.

It is a backend of its own: 'facereg triton serve' hands it to the server, and model repositories hold no code.
Imports nothing of facereg.
"""

from __future__ import annotations

import hashlib
import json
from os import environ
from typing import Any

environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: ONNX Runtime would report its use to its maker

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

TYPES = {"TYPE_UINT8": np.uint8, "TYPE_FP32": np.float32, "TYPE_INT64": np.int64}


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the network; raise where its file is not the one that the version stands for, or a GPU is wanted."""
        config = json.loads(args["model_config"])
        path = f"{args['model_repository']}/{args['model_version']}/model.onnx"
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        with open(path, "rb") as stream:
            content = stream.read()
        found = hashlib.sha256(content).hexdigest()
        if str(int(found[:15], 16)) != args["model_version"]:  # as facereg.networks.spec.weights_version
            raise pb_utils.TritonModelException(
                f"{path}: expected the weights of version {args['model_version']}, found those of "
                f"{int(found[:15], 16)} (sha256 {found[:12]}...): the file was altered; run 'facereg triton build'"
            )
        accelerators = config.get("optimization", {}).get("execution_accelerators")
        if args["model_instance_kind"] == "GPU" or accelerators:
            raise pb_utils.TritonModelException(
                f"{config['name']}: built for a GPU, and the Python backend runs networks on the processor; use a "
                "server with the ONNX Runtime backend, or build without --gpu, --device gpu and --tensorrt"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only: they come back as exceptions
        options.enable_cpu_mem_arena = parameters["enable_mem_arena"] == "1"
        options.enable_mem_pattern = False
        options.intra_op_num_threads = int(parameters["intra_op_thread_count"])
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [(tensor["name"], TYPES[tensor["data_type"]]) for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests; those of one shape go through the network together."""
        arrays = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
            for request in requests
        ]
        groups: dict[Any, list[int]] = {}
        for index, tensors in enumerate(arrays):
            groups.setdefault(tuple(tensor.shape[1:] for tensor in tensors), []).append(index)
        responses: list[Any] = [None] * len(requests)
        for members in groups.values():
            for index, response in zip(members, self.run([arrays[index] for index in members]), strict=True):
                responses[index] = response
        return responses

    def run(self, group: list[list[Any]]) -> list[Any]:
        """Return a response for each request of a group."""
        ends = np.cumsum([len(tensors[0]) for tensors in group])
        joined = [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*group, strict=True)]
        names = [name for name, _ in self.outputs]
        try:
            values = self.session.run(names, dict(zip(self.inputs, joined, strict=True)))
        except Exception as error:  # onnxruntime's errors share no base class
            message = " ".join(str(error).split())[:300]
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(message)) for _ in group]
        split = []
        for (name, dtype), value in zip(self.outputs, values, strict=True):
            # the server knows no tensor of the batch alone: one number a row goes as (B, 1)
            rows = np.ascontiguousarray(value if value.ndim > 1 else value[:, None], dtype)
            split.append([pb_utils.Tensor(name, part) for part in np.split(rows, ends[:-1])])
        return [pb_utils.InferenceResponse(output_tensors=list(tensors)) for tensors in zip(*split, strict=True)]
