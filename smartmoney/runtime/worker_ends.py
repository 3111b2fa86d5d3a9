"""A worker of a process pool ends with who started it, however that ended.

A pool's workers wait for work on a pipe that their siblings hold open as well, so that none of them sees its end: a command that is killed
would leave them behind for ever, with all their memory.
"""

import multiprocessing
import os
import threading


def end_with_the_parent() -> None:
    """Begin a worker: from now on it ends when its parent does. In a process that is no worker this does nothing."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-the-parent", daemon=True).start()
