"""Commands on a federation that plays in the test's own process, on the embedded chain: whatever
else happens there happens while the command rests.
"""

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fednode.roles.role import Progress, Role
from ledger.chain.accounts import create_keystore
from ledger.stores import DirectoryStore
from tests.accounts import new_account
from tests.engines import embedded
from tests.federations import Cast, Stage, let_time_pass
from tests.fednode.cli.world import PASSWORD, Desk

CREATOR, STRANGER = "@0.json", "@9.json"


def stage(folder: Path) -> Stage:
    """Give a stage whose hospitals share a directory of blocks."""
    return Stage(embedded(), [DirectoryStore(folder / "store")], folder)


def desk(cast: Cast, patch: pytest.MonkeyPatch) -> Desk:
    """Let commands find a federation; the creator, a stranger and somebody poor have keystores."""
    folder = cast.stage.folder
    accounts = {"0": cast.stage.accounts[0], "9": cast.stage.accounts[9], "poor": new_account()}
    for name, account in accounts.items():
        create_keystore(folder / f"{name}.json", PASSWORD, account=account, light=True)
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    patch.setattr("fednode.cli.open.open_contract", lambda *_: cast.contract)
    return Desk(
        folder,
        {
            "FEDNODE_RPC": "http://127.0.0.1:1",
            "FEDNODE_LEDGER": cast.contract.address,
            "FEDNODE_FEDERATION": cast.federation.hex(),
            "FEDNODE_STORE": str(folder / "store"),
            "FEDNODE_PASSWORD_FILE": str(folder / "password"),
            "FEDNODE_PUBLIC_ROWS": "1",
        },
    )


def meanwhile(cast: Cast, roles: Iterable[Role], patch: pytest.MonkeyPatch) -> None:
    """Let others act, or time pass, whenever a command rests."""
    everybody = list(roles)

    def rest(_: float) -> None:
        if Progress.ACTED not in {role.step() for role in everybody}:
            let_time_pass(cast.stage, cast.state())

    patch.setattr("fednode.roles.role.time", SimpleNamespace(sleep=rest))
