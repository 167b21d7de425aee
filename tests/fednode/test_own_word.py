"""A journal belongs to one site, and keeps what the site said of its rows."""

from pathlib import Path

import pytest

from fednode.errors import FedNodeError
from fednode.own_word import keep_word, says_public


@pytest.mark.parametrize("public", [False, True])
def test_a_journal_is_one_sites(tmp_path: Path, public: bool) -> None:
    keep_word(tmp_path, "zurich", public_rows=public)
    before = (tmp_path / "site.json").read_bytes()
    for now in (False, True):
        with pytest.raises(FedNodeError, match="to site 'zurich', and --site is 'cleveland'"):
            says_public(tmp_path, "cleveland", now=now)
        with pytest.raises(FedNodeError, match="'zurich'"):
            keep_word(tmp_path, "cleveland", public_rows=now)
    assert (tmp_path / "site.json").read_bytes() == before
    assert says_public(tmp_path, "zurich", now=False) is public


def test_a_word_that_was_given_stays(tmp_path: Path) -> None:
    keep_word(tmp_path, "zurich", public_rows=False)
    assert not says_public(tmp_path, "zurich", now=False)
    assert says_public(tmp_path, "zurich", now=True)
    keep_word(tmp_path, "zurich", public_rows=True)
    keep_word(tmp_path, "zurich", public_rows=False)
    assert says_public(tmp_path, "zurich", now=False)
