"""Finished runs as ONNX files for servers, compared with ``recommend`` before they are kept."""

from recbole_edt.export.folder import export_run, refuse_existing
from recbole_edt.export.onnx_file import check_packages

__all__ = ["check_packages", "export_run", "refuse_existing"]
