"""The site that a journal belongs to, and what the site says of its rows: whether everyone may see
them.

A policy's author cannot declare another's rows public. The site says it, once, with
`--public-rows`; its journal keeps the word for the commands that come after.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fednode.data.sources import SiteName
from fednode.errors import FedNodeError
from fednode.files import read_private, write_own

SITE_FILE = "site.json"


class OwnWord(BaseModel):
    """The site that a journal belongs to, and its word on its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    site: SiteName
    public_rows: bool


def says_public(journal: Path | None, site: str | None, *, now: bool) -> bool:
    """Return whether a site says that its rows are public: `now`, or before in its journal. Raise
    FedNodeError if the journal is another site's.
    """
    if journal is None or site is None:
        return now
    kept = _kept(journal)
    if kept is None:
        return now
    if kept.site != site:
        raise FedNodeError(
            f"--journal {journal} belongs to site {kept.site!r}, and --site is {site!r}: "
            "give each site a journal of its own"
        )
    return now or kept.public_rows


def keep_word(journal: Path, site: str, *, public_rows: bool) -> None:
    """Keep whose journal it is, and the site's word that its rows are public. A word that was given
    before stays.
    """
    word = OwnWord(site=site, public_rows=says_public(journal, site, now=public_rows))
    if word != _kept(journal):
        write_own(journal / SITE_FILE, word.model_dump_json().encode())


def _kept(journal: Path) -> OwnWord | None:
    try:
        return OwnWord.model_validate_json(read_private(journal / SITE_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError):
        raise FedNodeError(
            f"the journal's {journal / SITE_FILE} is damaged: restore it from a copy, or remove it "
            "and, if the rows are public, say --public-rows again"
        ) from None
