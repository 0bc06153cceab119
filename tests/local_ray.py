"""A Ray of two CPUs on this machine, for the time of some tests."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# Ray reads these when it is imported: nobody else on the machine may use the cluster of the tests.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "error"}

_START = f"""
import logging, ray, sys
started = ray.init(
    "local", num_cpus=2, object_store_memory={80 << 20}, include_dashboard=False,
    log_to_driver=False, logging_level=logging.ERROR, _temp_dir=sys.argv[1],
)
print(started.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@contextmanager
def local_ray() -> Iterator[str]:
    """Start it in a process of its own, which ends it with its standard input; give its address."""
    pytest.importorskip("ray", reason="Ray, the extra 'cluster', is not installed")
    environment = {**os.environ, "OMP_NUM_THREADS": "7"}  # the command's own is used
    environment.pop("PYTHONPATH", None)  # a machine gets the package's folder with the task
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, folder], cwd=folder, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            address = process.stdout.readline().strip()
            assert address, "Ray did not start"
            yield address
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()
