"""Writing the module as an ONNX file, and scoring with that file in onnxruntime."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recbole_edt.export.graph import NextItems

HISTORY, DOMAIN, ITEMS, SCORES = "history", "domain", "items", "scores"
_MOST_BYTES = 1 << 30  # of weights inside the file, which protobuf limits to 2 GiB
_EXAMPLE = ((2, 3), (0, 1))  # any sizes above one: both are symbols in the graph


def write_onnx(module: NextItems, path: Path) -> None:
    """Write the module; weights of more than a GiB go into ``model.onnx.data`` beside it.

    Parameters
    ----------
    module : NextItems
        In evaluation mode.
    path : pathlib.Path
        ``model.onnx``.

    Raises
    ------
    Exception
        Whatever torch raises for an operation that ONNX lacks.
    """
    history = torch.ones(_EXAMPLE[0], dtype=torch.int64).cumsum(1)
    arguments: tuple[Any, ...] = (history,)
    shapes: tuple[Any, ...] = ({0: "batch", 1: "length"},)
    if module.takes_domain:
        arguments, shapes = (history, torch.tensor(_EXAMPLE[1])), (*shapes, {0: "batch"})
    tensors = (*module.parameters(), *module.buffers())
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module,
            arguments,
            input_names=[HISTORY, DOMAIN][: len(arguments)],
            output_names=[ITEMS, SCORES],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        _forget_sources(program.model)
        program.save(path, external_data=size > _MOST_BYTES)


def _forget_sources(model: Any) -> None:
    """Remove the paths and lines of this machine's source files, which differ everywhere."""
    model.metadata_props.clear()
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's remarks on its own code; take attention apart, which ONNX has no op for."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class OnnxLists:
    """Lists of recommended items from an exported file.

    Parameters
    ----------
    path : pathlib.Path
        ``model.onnx``.
    """

    def __init__(self, path: Path):
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        self._session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.takes_domain = len(self._session.get_inputs()) == 2

    def __call__(self, history: np.ndarray, domain: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Return item numbers, int64 [B, k], and scores, float32 [B, k].

        Parameters
        ----------
        history : numpy.ndarray
            Int64 [B, L], padded on the right with 0.
        domain : int or None
            The domain of the items; None: any.
        """
        inputs = {HISTORY: history}
        if self.takes_domain:
            inputs[DOMAIN] = np.full(len(history), -1 if domain is None else domain, np.int64)
        items, scores = self._session.run([ITEMS, SCORES], inputs)
        return items, scores
