"""llama.cpp's own server and benchmarks, out of the source distribution that our package is built from.

Compiler, flags and patches are those of `deploy.build`, so a ratio compares programs, not builds. The stock
server is what others run: the same without our patches, but for one without which AMX ends the process.
"""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from caravan.llama import library

from deploy.build import native, recipe, source
from deploy.build.compile import num_jobs, run
from deploy.build.native import Plan
from deploy.build.recipe import Backend

_SERVER = "llama-server"
_TARGETS = (_SERVER, "llama-batched-bench", "llama-bench")
_STOCK_PATCHES = ("amx-tile-config",)
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_COMMON=ON",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
)


@dataclasses.dataclass(frozen=True)
class Peers:
    """What was built, and where llama-cpp-python's example server lies."""

    binaries: Path
    example_server: Path
    description: str
    stock_server: Path | None = None

    def binary(self, name: str) -> Path:
        return self.binaries / name


def ensure_peers(folder: Path, *, with_stock: bool = False, backend: Backend = Backend.CPU) -> Peers:
    """Fetch and build what is not there yet; the first time takes minutes. Raises BuildError."""
    plan = native.make_plan(backend)
    has_amx = "AMX_INT8 = 1" in library.system_info()
    root, binaries = _built(plan, peers_folder(folder, plan), _TARGETS, has_amx=has_amx)
    stock = None
    if with_stock:
        place = folder / f"stock-{plan.version}"
        stock = _built(plan, place, (_SERVER,), _STOCK_PATCHES, has_amx=has_amx)[1] / _SERVER
    amx = "with" if has_amx else "without"
    description = f"llama.cpp of {source.PACKAGE} {plan.version}, {amx} AMX"
    return Peers(binaries, root / "examples" / "server" / "server.py", description, stock)


def peers_folder(folder: Path, plan: Plan) -> Path:
    """Where the peers of a plan are built: another recipe patches another source."""
    return folder / f"peers-{plan.digest[:8]}"


def _built(
    plan: Plan,
    folder: Path,
    targets: Sequence[str],
    patches: Collection[str] | None = None,
    *,
    has_amx: bool,
) -> tuple[Path, Path]:
    """The source distribution, patched and built in `folder`, and where its programs are."""
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / source.archive_name(plan.version).removesuffix(".tar.gz")
    if not root.exists():
        tree, _ = source.unpack(source.fetch(plan.version, folder), folder / "unpacked", patches)
        tree.replace(root)
    build = folder / "llama.cpp"
    _build(root / source.LLAMA_CPP, build, plan, targets, has_amx=has_amx)
    return root, build / "bin"


def _build(llama_cpp: Path, folder: Path, plan: Plan, targets: Sequence[str], *, has_amx: bool) -> None:
    """Configure and compile; where all is done already, that takes a second."""
    # Our own build may have had to do without.
    flags = recipe.WITHOUT_AMX if plan.toolchain.has_amx and not has_amx else ()
    arguments = [*recipe.cmake_arguments(plan.backend, plan.user, flags), *_OPTIONS]
    configure = ["cmake", "-G", "Ninja", "-S", str(llama_cpp), "-B", str(folder), *arguments]
    compile_ = ["cmake", "--build", str(folder), "--parallel", str(num_jobs()), "--target", *targets]
    run("peers", [configure, compile_], plan.toolchain.environment(), folder.with_suffix(".log"))
