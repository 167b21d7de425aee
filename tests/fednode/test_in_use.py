"""A journal for one process at a time."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fednode.errors import FedNodeError
from fednode.in_use import LOCK, JournalInUse, alone

HOLDER = """
import sys, time
from pathlib import Path
from fednode.in_use import alone

with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_which_one_has_it_until_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(JournalInUse) as caught, alone(tmp_path):
            pass
        assert f"{tmp_path} is in use by process {holder.pid}" in str(caught.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with alone(tmp_path):
        assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600
    with alone(tmp_path):
        pass


@pytest.mark.parametrize("text", [b"", b"x", b"\xff" * 30])
def test_a_lock_that_names_no_process(tmp_path: Path, text: bytes) -> None:
    with alone(tmp_path):
        (tmp_path / LOCK).write_bytes(text)
        with pytest.raises(JournalInUse, match="by another process: end"), alone(tmp_path):
            pass


def test_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(FedNodeError, match="cannot be locked"), alone(tmp_path):
        pass
