"""Where the contracts and their tools are, and how Slither reads them.

Runs in the environment that `make .slither/.installed` makes: Slither pins other versions of
libraries that FedNode itself uses, so it has one of its own.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slither import Slither

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
BUILD = ROOT / "build"
PACKAGES = CONTRACTS / "node_modules"


def forge() -> Path:
    """Return forge's executable for this platform: npm's wrapper hides failures."""
    found = sorted(PACKAGES.glob("@foundry-rs/forge-*/bin/forge"))
    if not found:
        raise SystemExit(f"error: forge is missing: run `npm ci` in {CONTRACTS}")
    return found[0]


def solc(request: dict[str, Any]) -> dict[str, Any]:
    """Hand a standard-JSON request to the compiler and return its answer, errors and all."""
    answer = subprocess.run(
        [CONTRACTS / "solcjs", "--standard-json"],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
    )
    return dict(json.loads(answer.stdout))


def read_contracts() -> "Slither":
    """Compile the contracts, leaving forge's own cache alone, and return Slither's view of them."""
    from slither import Slither

    out = BUILD / "slither"
    os.environ |= {
        "PATH": f"{forge().parent}{os.pathsep}{os.environ['PATH']}",
        "FOUNDRY_OUT": str(out / "out"),
        "FOUNDRY_CACHE_PATH": str(out / "cache"),
    }
    return Slither(
        str(CONTRACTS),
        foundry_out_directory=os.path.relpath(out / "out", CONTRACTS),
        filter_paths=["node_modules"],
    )
