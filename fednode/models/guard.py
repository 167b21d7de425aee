"""The boundary to a user's own model: whatever its code raises becomes one typed error."""

from collections.abc import Iterator
from contextlib import contextmanager

from fednode.errors import FedNodeError
from fednode.models.errors import OwnModelError


class ModelFailed(OwnModelError):
    """A model whose own code raised an exception, or ended the program."""

    def __init__(self, doing: str, error: BaseException) -> None:
        self.doing = doing
        text = " ".join(str(error).split())[:300]
        did = "ended the program" if isinstance(error, SystemExit) else "failed"
        super().__init__(
            "task.model",
            f"the model's code {did} in {doing}: {type(error).__name__}: {text}; the log holds "
            "the traceback, the fault is in the model's own code or in what it was given",
        )


@contextmanager
def model_code(doing: str) -> Iterator[None]:
    """Run a model's own code. SystemExit and other exceptions beyond `Exception` are caught too:
    a library's exit must not take a node's votes away. KeyboardInterrupt is the operator's.
    """
    try:
        yield
    except (KeyboardInterrupt, FedNodeError):
        raise
    except BaseException as error:
        raise ModelFailed(doing, error) from error
