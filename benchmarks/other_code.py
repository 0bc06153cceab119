"""The code of another commit, for benchmarks that compare with it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def extract(commit: str, folder: Path) -> Path:
    """Write the files of a commit into a folder, which is made, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["git", "-C", ROOT, "archive", commit], stdout=subprocess.PIPE) as tar:
        subprocess.run(["tar", "x", "-C", folder], stdin=tar.stdout, check=True)
    if tar.returncode:
        raise SystemExit(f"git archive {commit} ended with status {tar.returncode}")
    return folder
