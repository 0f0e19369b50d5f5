"""`caravan` over an engine that computes nothing; run by its path, so that it may be that of any tree."""

import os
from pathlib import Path

from caravan.cli import main
from caravan.engine.ipc.child_process import ChildProcess

if __name__ == "__main__":
    # The child finds its module beside this file.
    os.environ["PYTHONPATH"] += os.pathsep + os.fspath(Path(__file__).parent)
    ChildProcess.module = "idle_engine"
    main()
