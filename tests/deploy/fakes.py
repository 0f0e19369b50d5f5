"""Compilers that are shell scripts, and wheels that are a few bytes."""

from pathlib import Path

from deploy.build.toolchain import Compiler, Toolchain


def make_toolchain(folder: Path, script: str) -> Toolchain:
    """Compilers that are shell scripts."""
    path = folder / "cc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Toolchain(Compiler("c", (str(path),)), Compiler("c++", (str(path),)))


def make_wheel(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "llama_cpp_python-0-py3-none-any.whl"
    path.write_bytes(b"a wheel")
    return path
