"""The shipped artifacts are what the sources compile to, and land where EIP-1014 says."""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from ledger.contracts import (
    DETERMINISTIC_DEPLOYER,
    UnknownArtifact,
    artifact,
    create2_address,
    deployment,
)
from ledger.types import ZERO_DIGEST, Address, Digest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
SHIPPED = (
    "Create2Deployer",
    "Disputes",
    "Federations",
    "Funds",
    "Members",
    "Policies",
    "Verifier",
)
LARGEST_CONTRACT = 24_576
HEADROOM = 2_304  # What grows lies in the libraries beside the core.


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "compile_contracts", ROOT / "scripts" / "compile_contracts.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _need_compiler() -> None:
    if shutil.which("node") and (CONTRACTS / "node_modules" / "solc").is_dir():
        return
    reason = "no compiler: install Node 20+ and run `npm ci` in contracts/"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.slow
def test_shipped_artifacts_equal_a_fresh_build() -> None:
    _need_compiler()
    script = _script()
    fresh = script.compile_contracts(script.SHIPPED, script.find_compiler("npm"))
    assert sorted(fresh) == sorted(SHIPPED)
    for name, built in fresh.items():
        path = script.ARTIFACTS / f"{name}.json"
        assert path.read_text(encoding="utf-8") == script.serialise(built), (
            f"{name} is stale: run scripts/compile_contracts.py"
        )


def test_a_failed_download_names_the_other_route(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = _script()

    def unreachable(version: str) -> None:
        raise ConnectionError(f"no route to {version}")

    monkeypatch.setattr(script.solcx, "install_solc", unreachable)
    assert script.main(["--solc", "native", "--check"]) == 1
    assert "--solc npm" in capsys.readouterr().err


def test_every_shipped_artifact_has_a_source() -> None:
    script = _script()
    assert sorted(p.stem for p in script.ARTIFACTS.glob("*.json")) == sorted(script.SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_sources_are_those_in_the_tree(name: str) -> None:
    loaded = artifact(name)
    own = {path: digest for path, digest in loaded.sources.items() if not path.startswith("@")}
    assert own
    for path, digest in own.items():
        assert hashlib.sha256((CONTRACTS / path).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", SHIPPED)
def test_runtime_leaves_room(name: str) -> None:
    assert 0 < artifact(name).runtime_size <= LARGEST_CONTRACT - HEADROOM


def test_bytecode_carries_no_metadata() -> None:
    for name in SHIPPED:
        assert b"solc" not in artifact(name).bytecode
        assert artifact(name).settings["metadata"] == {"bytecodeHash": "none", "appendCBOR": False}


def test_forge_compiles_with_the_same_settings() -> None:
    profile = tomllib.loads((CONTRACTS / "foundry.toml").read_text())["profile"]["default"]
    settings = artifact("Federations").settings
    optimizer = settings["optimizer"]
    assert profile["evm_version"] == settings["evmVersion"]
    assert profile["via_ir"] is settings["viaIR"] is True
    assert profile["optimizer"] is optimizer["enabled"] is True
    assert profile["optimizer_runs"] == optimizer["runs"]
    details = profile["optimizer_details"]["yulDetails"]
    assert details["optimizerSteps"] == optimizer["details"]["yulDetails"]["optimizerSteps"]
    assert profile["bytecode_hash"] == "none"
    assert profile["cbor_metadata"] is False


def test_events_end_with_the_accumulator() -> None:
    events = [entry for entry in artifact("Federations").abi if entry["type"] == "event"]
    apart = {"EIP712DomainChanged", "Evidence"}
    ours = [event for event in events if event["name"] not in apart]
    assert len(ours) == 38
    for event in ours:
        names = [field["name"] for field in event["inputs"]]
        assert (names[0], names[-1]) == ("federation", "h")
        assert [field["indexed"] for field in event["inputs"]] == [True] + [False] * (
            len(names) - 1
        )
        assert not any(field["type"] in ("bytes", "string") for field in event["inputs"])


def test_commit_gas_in_the_snapshot() -> None:
    gas = json.loads((CONTRACTS / "snapshots" / "Gas.json").read_text())
    commits = {name: int(figure) for name, figure in gas.items() if name.startswith("commitUpdate")}
    assert len(commits) == 4
    assert max(commits.values()) <= 65_000


# The examples of EIP-1014.
@pytest.mark.parametrize(
    ("deployer", "salt", "code", "expected"),
    [
        ("00" * 20, "00" * 32, "00", "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"),
        (
            "deadbeef00000000000000000000000000000000",
            "00" * 32,
            "00",
            "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3",
        ),
        (
            "00000000000000000000000000000000deadbeef",
            "00000000000000000000000000000000000000000000000000000000cafebabe",
            "deadbeef",
            "0x60f3f640a8508fC6a86d45DF051962668E1e8AC7",
        ),
        ("00" * 20, "00" * 32, "", "0xE33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"),
    ],
)
def test_create2_address(deployer: str, salt: str, code: str, expected: str) -> None:
    address = create2_address(
        Address("0x" + deployer), Digest(bytes.fromhex(salt)), bytes.fromhex(code)
    )
    assert address == expected


def test_deployment_is_by_the_known_proxy_with_salt_zero() -> None:
    planned = deployment()
    assert planned.deployer == DETERMINISTIC_DEPLOYER
    assert planned.salt == ZERO_DIGEST
    assert planned.call_data == bytes(32) + planned.init_code
    assert planned.address == create2_address(
        DETERMINISTIC_DEPLOYER, ZERO_DIGEST, planned.init_code
    )


def test_linking_fills_in_nothing_but_the_libraries_addresses() -> None:
    code = artifact("Federations")
    names = {name: Address(f"0x{place:040x}") for place, name in enumerate(code.links, start=1)}
    linked = code.linked(names)
    assert len(linked) == len(code.bytecode)
    for place, offsets in enumerate(code.links.values(), start=1):
        for at in offsets:
            assert linked[at : at + 20] == place.to_bytes(20, "big")
            assert code.bytecode[at : at + 20] == bytes(20)
            linked = linked[:at] + bytes(20) + linked[at + 20 :]
    assert linked == code.bytecode


def test_libraries_are_deployed_before_what_calls_them() -> None:
    planned = deployment()
    parts = [*planned.libraries, planned]
    assert len({part.address for part in parts}) == len(parts) == 6
    for place, part in enumerate(parts):
        assert part.salt == ZERO_DIGEST
        for later in parts[place:]:
            assert bytes.fromhex(later.address[2:]) not in part.init_code
    below = {part.address for part in planned.libraries}
    assert deployment(salt=Digest(b"\1" * 32)).libraries == planned.libraries
    assert planned.address not in below


@pytest.mark.parametrize("name", ["Nothing", "../../errors", ""])
def test_unknown_artifact(name: str) -> None:
    with pytest.raises(UnknownArtifact) as caught:
        artifact(name)
    assert caught.value.name == name


def test_solcjs_answers_only_what_it_can() -> None:
    _need_compiler()
    wrapper = str(CONTRACTS / "solcjs")
    version = subprocess.run([wrapper, "--version"], capture_output=True, text=True, check=True)
    assert "\nVersion: 0.8.37+commit." in version.stdout
    refused = subprocess.run([wrapper, "--abi", "x.sol"], capture_output=True, text=True)
    assert refused.returncode != 0
    assert refused.stdout == ""
