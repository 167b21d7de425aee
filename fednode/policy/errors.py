"""What can be wrong with a policy: always one line, always with the key."""

from fednode.errors import FedNodeError


class PolicyError(FedNodeError):
    """A policy that cannot be used: the key, what is wrong with it, and where it was read."""

    def __init__(self, key: str, reason: str, *, source: str | None = None) -> None:
        self.key = key
        self.reason = reason
        self.source = source
        where = "" if source is None else f"{source}: "
        super().__init__(" ".join(f"{where}{key}: {reason}".split()))
