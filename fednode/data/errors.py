"""What can be wrong with a site's data. No message ever repeats a value of a row."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from fednode.errors import FedNodeError


class DataError(FedNodeError):
    """Base of every error about data; its text is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DataMissing(DataError):
    """A file, folder or member that the source needs is not there."""

    def __init__(self, path: Path | str, what: str, advice: str = "check data.path") -> None:
        self.path = str(path)
        self.what = what
        super().__init__(f"{what} not found at {path}: {advice}")


class PathRefused(DataError):
    """A path of the policy that leads, or could lead, out of the site's own folder."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"data.path {path[:200]!r}: {reason}")


class MalformedData(DataError):
    """A file that is not what its format says."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f"cannot read {path}: {reason}")


class SchemaMismatch(DataError):
    """A row that the policy's schema does not allow; names row and column, never the value.

    `finding` is what is wrong, without the advice to run the check that may have found it.
    """

    def __init__(self, site: str, row: int | None, column: str | None, reason: str) -> None:
        self.site = site
        self.row = row
        self.column = column
        self.reason = reason
        where = ", ".join(
            [f"site '{site}'"]
            + ([] if row is None else [f"row {row}"])
            + ([] if column is None else [f"column '{column}'"])
        )
        self.finding = f"{where}: {reason}"
        super().__init__(
            f"{self.finding}; run 'fednode data check' for the whole report, then mend the file"
        )


class UnknownSite(DataError):
    """A site that the policy's data section does not name."""

    def __init__(self, site: str, sites: Iterable[str]) -> None:
        self.site = site
        self.sites = tuple(sites)
        near = get_close_matches(site, self.sites, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(self.sites)}"
        super().__init__(f"unknown site '{site}': {hint}")


class DataNotPublic(DataError):
    """Data that the policy does not expect to be public; it can only be used under seal."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(
            f"site '{site}': data.public does not name it, so nothing that is computed from it may "
            "be readable by everyone: set visibility = 'members', and evaluation.mode = 'none' or "
            "'shards'; or data.public, only if the owner agrees"
        )


class RowsNotPublic(DataError):
    """Rows that the site itself has not declared public, in a federation that shows what is
    computed from them.
    """

    def __init__(self) -> None:
        super().__init__(
            "this federation lets everyone read what is computed from the rows, and the policy "
            "cannot decide that for their owner: if your rows are public, say so with "
            "--public-rows; else do not take part"
        )


class ExtraMissing(DataError):
    """An optional library that a source needs is not installed."""

    def __init__(self, library: str, source: str) -> None:
        self.library = library
        self.source = source
        super().__init__(f"data source '{source}' needs {library}: run pip install 'fednode[data]'")


class PartitionError(DataError):
    """A partition that cannot be cut from these rows."""


class TestSetOpened(DataError):
    """The test set was already opened for another model."""

    __test__ = False  # not a pytest class

    def __init__(self, opened: str, asked: str) -> None:
        self.opened = opened
        self.asked = asked
        super().__init__(
            f"the test set was already opened for model {opened}, so it cannot judge model {asked}:"
            " a test set is opened once, at the end"
        )
