"""Child processes that do not outlive the process that started them.

On Linux the system itself ends a child whose parent is gone, also after kill -9 (prctl(2),
PR_SET_PDEATHSIG). Elsewhere the next start finds what was left, by process id and identity.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
LINUX = sys.platform == "linux"
POLL = 0.05


@dataclass(frozen=True, slots=True)
class Child:
    """A process by id, start time and command line: an id alone is another process's later."""

    pid: int
    identity: str

    @classmethod
    def of(cls, pid: int) -> "Child":
        """Describe a process that runs now."""
        return cls(pid, identity(pid) or "")

    def lives(self) -> bool:
        """Whether that very process runs."""
        return bool(self.identity) and identity(self.pid) == self.identity


def identity(pid: int) -> str | None:
    """Give a process's start time and command line; None if it does not run any more."""
    return _from_proc(pid) if LINUX else _from_ps(pid)


def ending_with_us() -> Callable[[], None] | None:
    """Give what a new child calls before it runs its program, so that it is asked to end (SIGTERM)
    when this process ends.

    The system follows the thread that started the child, so this is for the main thread alone.
    """
    if not LINUX or threading.current_thread() is not threading.main_thread():
        return None
    prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the system was asked
            os._exit(1)

    return prepare


def end(children: Collection[Child], timeout: float) -> None:
    """End what an earlier process has left: ask, then kill. Other processes are left alone."""
    for how, patience in ((signal.SIGTERM, timeout), (signal.SIGKILL, timeout)):
        living = list(_living(children))
        if not living:
            return
        for child in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(child.pid, how)
        deadline = time.monotonic() + patience
        while any(child.lives() for child in living) and time.monotonic() < deadline:
            time.sleep(POLL)


def _living(children: Collection[Child]) -> Iterator[Child]:
    return (child for child in children if child.lives())


def _from_proc(pid: int) -> str | None:
    folder = Path("/proc", str(pid))
    try:
        # The name in parentheses may hold anything; the state and the start time follow it.
        fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    ended = fields[0] in ("Z", "X")
    return None if ended else f"{fields[19]} {command.replace(chr(0), ' ').strip()}"


def _from_ps(pid: int) -> str | None:
    told = subprocess.run(
        ["ps", "-o", "lstart=,command=", "-p", str(pid)],
        capture_output=True,
        check=False,
        text=True,
    )
    return told.stdout.strip() or None
