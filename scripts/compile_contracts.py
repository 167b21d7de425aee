#!/usr/bin/env python3
"""Compile the contracts through py-solc-x into the artifacts that the ledger package ships.

Two routes to the same bytes: `--solc npm` (default) runs npm's solc behind `contracts/solcjs`,
which needs `npm ci` in `contracts/` and no download; `--solc native` lets py-solc-x install the
native compiler. The bytecode carries no metadata, so neither route nor path shows in it.
"""

import argparse
import hashlib
import json
import posixpath
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import solcx

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
ARTIFACTS = ROOT / "ledger" / "contracts" / "artifacts"
SOLC_VERSION = "0.8.37"
SHIPPED = {
    "Federations": "src/Federations.sol",
    "Members": "src/libraries/Members.sol",
    "Disputes": "src/libraries/Disputes.sol",
    "Funds": "src/libraries/Funds.sol",
    "Policies": "src/libraries/Policies.sol",
    "Verifier": "src/verifier/Verifier.sol",
    "Create2Deployer": "src/Create2Deployer.sol",
}
# solc's own sequence without F, the function specialiser: it copies functions for constant
# arguments, which costs a tenth of the contract's size. contracts/foundry.toml says the same.
OPTIMIZER_STEPS = (
    "dhfoDgvulfnTUtnIf[xa[r]EscLMVcul[j]Trpeulxa[r]cLgvifCTUca[r]LSsTOtfDnca[r]Iulc]jmul[jul]"
    "VcTOculjmul:fDnTOcmuO"
)
SETTINGS: dict[str, Any] = {
    "evmVersion": "cancun",
    "viaIR": True,
    "optimizer": {
        "enabled": True,
        "runs": 1,
        "details": {"yul": True, "yulDetails": {"optimizerSteps": OPTIMIZER_STEPS}},
    },
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}
_IMPORT = re.compile(r'^\s*import\s[^;]*?"([^"]+)"\s*;', re.MULTILINE)


class CompileError(Exception):
    """The contracts could not be compiled; the message says what to do."""


def read_sources(names: Mapping[str, str]) -> dict[str, str]:
    """Read the named contracts' files and all that they import, by the name solc knows them by."""
    sources: dict[str, str] = {}
    pending = sorted(set(names.values()))
    while pending:
        name = pending.pop()
        if name in sources:
            continue
        path = CONTRACTS / (f"node_modules/{name}" if name.startswith("@") else name)
        if not path.is_file():
            raise CompileError(f"{path} is missing: run `npm ci` in {CONTRACTS}")
        sources[name] = path.read_text(encoding="utf-8")
        for target in _IMPORT.findall(sources[name]):
            relative = target.startswith(".")
            base = posixpath.dirname(name)
            pending.append(posixpath.normpath(f"{base}/{target}") if relative else target)
    return sources


def find_compiler(route: str) -> Path:
    """Return the compiler's executable; `native` installs it if it is not there yet."""
    if route == "native":
        try:
            solcx.install_solc(SOLC_VERSION)
        except OSError as error:
            raise CompileError(
                f"solc {SOLC_VERSION} could not be downloaded ({error}): use `--solc npm`"
            ) from error
        return Path(solcx.install.get_executable(SOLC_VERSION))
    if not (CONTRACTS / "node_modules" / "solc").is_dir():
        raise CompileError(
            f"npm's solc is missing: run `npm ci` in {CONTRACTS}, or use `--solc native`"
        )
    return CONTRACTS / "solcjs"


def compile_contracts(names: Mapping[str, str], compiler: Path) -> dict[str, dict[str, Any]]:
    """Compile contracts (name -> source file) and return an artifact for each."""
    version = str(solcx.wrapper.get_solc_version(compiler, with_commit_hash=True))
    if version.partition("+")[0] != SOLC_VERSION:
        raise CompileError(f"{compiler} is solc {version}, but the contracts need {SOLC_VERSION}")
    sources = read_sources(names)
    wanted = [
        "abi",
        "evm.bytecode.object",
        "evm.bytecode.linkReferences",
        "evm.deployedBytecode.object",
    ]
    selection = {file: {name: wanted} for name, file in sorted(names.items())}
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sorted(sources.items())},
        "settings": {**SETTINGS, "outputSelection": selection},
    }
    output = solcx.compile_standard(request, solc_binary=compiler)
    digests = {n: hashlib.sha256(t.encode()).hexdigest() for n, t in sorted(sources.items())}
    return {
        name: {
            "contract": name,
            "source": file,
            "compiler": version,
            "settings": SETTINGS,
            "sources": digests if name == "Federations" else {file: digests[file]},
            "abi": output["contracts"][file][name]["abi"],
            "bytecode": "0x" + output["contracts"][file][name]["evm"]["bytecode"]["object"],
            "links": find_links(output["contracts"][file][name]["evm"]["bytecode"]),
            "runtime": "0x" + output["contracts"][file][name]["evm"]["deployedBytecode"]["object"],
        }
        for name, file in names.items()
    }


def find_links(bytecode: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return where a contract's code wants the address of which library: offsets in bytes."""
    return {
        library: sorted(place["start"] for place in places)
        for libraries in bytecode["linkReferences"].values()
        for library, places in sorted(libraries.items())
    }


def serialise(artifact: Mapping[str, Any]) -> str:
    """Return the artifact's text: the same for the same content."""
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Compile and write the artifacts, or compare them with `--check`.

    Exit code 0: written, or up to date; 1: stale under `--check`, or not compiled.
    """
    parser = argparse.ArgumentParser(
        description="Compile the contracts into the shipped artifacts."
    )
    parser.add_argument("--solc", choices=("npm", "native"), default="npm", help="compiler to use")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    try:
        artifacts = compile_contracts(SHIPPED, find_compiler(options.solc))
    except (
        CompileError,
        solcx.exceptions.SolcError,
        solcx.exceptions.SolcInstallationError,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    stale = []
    for name, artifact in artifacts.items():
        path = ARTIFACTS / f"{name}.json"
        text = serialise(artifact)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    sizes = {name: len(a["runtime"]) // 2 - 1 for name, a in artifacts.items()}
    if options.json:
        print(json.dumps({"changed": stale, "runtime_bytes": sizes}))
    else:
        for name, size in sizes.items():
            print(f"{name}: {size} bytes{' (changed)' if name in stale else ''}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
