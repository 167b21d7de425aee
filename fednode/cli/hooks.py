"""What Python itself would print to standard error goes to the log, and so through the cleaner.

That is warnings, and errors that end a thread or a destructor. Hooks that are not Python's own
belong to another program, such as a test runner, and stay.
"""

import logging
import sys
import threading
import warnings

log = logging.getLogger("fednode")

_SHOWWARNING = warnings.showwarning


def to_the_log() -> None:
    """Send warnings, and errors of threads and destructors, to the log."""
    if warnings.showwarning is _SHOWWARNING:
        warnings.showwarning = _warned
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _thread_ended
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable


def _warned(
    message: Warning | str, category: type[Warning], *_place: object, **_named: object
) -> None:
    log.warning("%s: %s", category.__name__, message)


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    error = ended.exc_value
    if error is not None and not isinstance(error, SystemExit):
        log.error("a thread ended by %s: %s", type(error).__name__, error, exc_info=error)


def _unraisable(raised: "sys.UnraisableHookArgs") -> None:
    log.error("not raised: %s", raised.exc_value, exc_info=raised.exc_value)
