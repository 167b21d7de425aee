"""What can go wrong with sealed artefacts."""

from ledger.errors import LedgerError, MalformedRecord


class SealBroken(MalformedRecord):
    """Sealed bytes that their own content key does not open; nobody can read them."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"sealed {what}", reason)


class NotForUs(LedgerError):
    """An artefact that is sealed for others: it may be in order, and we cannot tell."""

    def __init__(self, readers: int, keys: int) -> None:
        self.readers = readers
        self.keys = keys
        ours = "no key of ours was given" if not keys else f"none of our {keys} keys is one of them"
        super().__init__(
            f"sealed for {readers} keys, and {ours}: give --key with the key of a member or of an "
            "auditor whom the policy names"
        )


class KeyFileError(LedgerError):
    """A file of a sealing key that cannot be read or written."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"key file {path}: {reason}")
