"""What a site says of its own rows, kept in its journal: whether everyone may see them.

A policy's author cannot declare another's rows public. The site says it, once, with
`--public-rows`; its journal keeps the word for the commands that come after.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fednode.data.sources import SiteName
from fednode.errors import FedNodeError
from fednode.files import write_file

SITE_FILE = "site.json"


class OwnWord(BaseModel):
    """The site that a journal belongs to, and its word on its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    site: SiteName
    public_rows: bool


def says_public(journal: Path | None, site: str | None, *, now: bool) -> bool:
    """Whether a site says that its rows are public: `now`, or before in its journal."""
    if now or journal is None or site is None:
        return now
    try:
        kept = OwnWord.model_validate_json((journal / SITE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValidationError):
        raise FedNodeError(
            f"the journal's {journal / SITE_FILE} is damaged: restore it from a copy, or remove it "
            "and say --public-rows again"
        ) from None
    return kept.site == site and kept.public_rows


def keep_word(journal: Path, site: str, *, public_rows: bool) -> None:
    """Keep a site's word that its rows are public; a word that was given before stays."""
    if public_rows:
        word = OwnWord(site=site, public_rows=True)
        write_file(journal / SITE_FILE, word.model_dump_json().encode(), private=True)
