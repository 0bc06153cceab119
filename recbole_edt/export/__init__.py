"""Finished runs as ONNX files for servers, compared with ``recommend`` before they are kept."""

from recbole_edt.export.folder import export_run, refuse_existing

__all__ = ["export_run", "refuse_existing"]
