"""Finds the CUDA compiler, which belongs to the toolchain of a CUDA build."""

import os
import shutil
import subprocess

from deploy.build.errors import BuildError

_USUAL_PLACE = "/usr/local/cuda/bin"


def find_compiler() -> str:
    """Path of nvcc by CMake's rule, CUDACXX and then PATH, and where installers put it. Raises BuildError."""
    wanted = os.environ.get("CUDACXX") or "nvcc"
    path = shutil.which(wanted) or shutil.which("nvcc", path=_USUAL_PLACE)
    if path is None:
        raise BuildError(
            f"BACKEND=cuda needs the CUDA toolkit; found no {wanted} on PATH or in {_USUAL_PLACE}"
        )
    return path


def identity(compiler: str) -> str:
    """The compiler's version and the compute capabilities present, for which alone it compiles."""
    devices = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    return _output([compiler, "--version"]) + "".join(sorted(set(_output(devices).splitlines())))


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return done.stdout
