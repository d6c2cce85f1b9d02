"""Runs a module as a process that ends when the one that started it does, however that ended.

`python -m example_project.demo.child MODULE ARGUMENT...`: the starter holds the other end of this
process's standard input. The kernel closes it with the starter, even after `kill -9`.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

GRACE_SECONDS = 5.0


def end_with_starter() -> None:
    """Wait until standard input ends, then end this process: as asked, and after a while anyway."""
    # Not `sys.stdin`: a thread that blocks in it is a fatal error when the interpreter exits.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os._exit(1)


def main() -> None:
    """Run the module that the command line names."""
    threading.Thread(target=end_with_starter, name="end-with-starter", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
