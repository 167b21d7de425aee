"""The architecture's import rules, and its bans on wall clocks and global randomness.

The parts can be used, replaced and audited on their own only as long as nothing reaches across:
`ledger` and `incentives` know neither `fednode` nor torch, one module talks to the chain and one to
IPFS. Determinism needs the same care: time is the chain's, and randomness is an argument. All of it
is read off the syntax trees, as in execution-specs,
`ethereum_spec_tools/lint/lints/import_hygiene.py`.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("fednode", "ledger", "incentives")

# Which modules may import what is named here; everybody else in the three packages may not.
SOLE_IMPORTERS: dict[str, tuple[str, ...]] = {
    "web3": ("ledger.chain.provider",),
    "aiohttp": ("ledger.bounded_http", "fednode.relay.server"),
    "requests": ("ledger.bounded_http",),
    "urllib.request": ("fednode.testnet",),
    "http.client": (),
    "ipfshttpclient": ("ledger.stores.kubo",),
    "torch": ("fednode.models.torch_", "fednode.training"),
}
# What a package may not import, whoever else may.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "ledger": ("fednode", "incentives", "torch"),
    "incentives": ("fednode", "ledger", "torch"),
    "fednode": (),
}
# Formats that execute what they read.
NEVER = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")

# The edge: where a person's or an engine's clock is read. Below it time is the chain's `now()`.
EDGE = ("fednode.cli", "fednode.demo", "fednode.testnet")
WALL_CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "time.ctime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}
# What numpy.random and random offer to make a generator of one's own; the rest shares one.
OWN_GENERATORS = {
    "numpy.random": {
        "default_rng",
        "Generator",
        "BitGenerator",
        "SeedSequence",
        "PCG64",
        "PCG64DXSM",
        "Philox",
        "SFC64",
    },
    "random": {"Random", "SystemRandom"},
}
GLOBAL_SEEDS = {"torch.manual_seed", "torch.seed", "torch.random.manual_seed"}


@dataclass(frozen=True, slots=True)
class Module:
    """One module as it lies in the repository."""

    name: str
    path: Path
    tree: ast.Module
    is_package: bool

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]


def parse(name: str, source: str, path: Path, *, is_package: bool = False) -> Module:
    return Module(name, path, ast.parse(source, str(path)), is_package)


def modules(root: Path, package: str) -> Iterator[Module]:
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        yield parse(name, path.read_text("utf-8"), path.relative_to(root), is_package=is_package)


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    """Tell whether a dotted name is a prefix or below one; `a.b_` is all that start so."""
    return any(
        name == prefix or name.startswith(prefix if prefix.endswith("_") else prefix + ".")
        for prefix in prefixes
    )


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """Resolve `from ..x import y` to the module that it names."""
    if node.level == 0:
        return node.module or ""
    parts = module.package.split(".")
    base = parts[: len(parts) - (node.level - 1)]
    return ".".join([*base, node.module] if node.module else base)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """List every import as (line, dotted name), the lazy and the typing-only ones too."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(names=names):
                base = absolute(module, node)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Attribute(attr="import_module")
                | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str() as name), *_],
            ):
                yield node.lineno, name


def aliases(module: Module) -> dict[str, str]:
    """Map each name that an import binds to what it stands for."""
    bound: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                bound[alias.asname or head] = alias.name if alias.asname else head
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{base}.{alias.name}"
    return bound


def dotted(node: ast.expr) -> str | None:
    """Write `a.b.c` as text; None for anything else."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            head = dotted(value)
            return None if head is None else f"{head}.{attr}"
    return None


def uses(module: Module) -> Iterator[tuple[int, str]]:
    """List every use of an imported name as (line, its full dotted name), called or passed on."""
    bound = aliases(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            text = dotted(node)
            if text is not None:
                head, dot, rest = text.partition(".")
                if head in bound:
                    yield node.lineno, bound[head] + dot + rest


def unpickles(node: ast.Call) -> bool:
    """Tell whether a call lets numpy or torch unpickle what it loads."""
    given = {
        word.arg: word.value.value if isinstance(word.value, ast.Constant) else None
        for word in node.keywords
    }
    safe = dotted(node.func) != "torch.load" or given.get("weights_only") is True
    return not safe or given.get("allow_pickle", False) is not False


def shares_a_generator(name: str) -> bool:
    """Tell whether a full dotted name draws from, or seeds, a generator of the whole process."""
    for package, own in OWN_GENERATORS.items():
        rest = name.removeprefix(package + ".")
        if rest != name and rest.partition(".")[0] not in own:
            return True
    return name in GLOBAL_SEEDS


def violations(module: Module) -> list[str]:
    """List what a module does against the rules, each as `file:line: what and why`."""
    found: list[tuple[int, str]] = []
    for line, name in imports(module):
        forbidden = FORBIDDEN[module.name.partition(".")[0]]
        if within(name, forbidden):
            found.append((line, f"imports {name}: {module.name.partition('.')[0]} must not"))
            continue
        for library, importers in SOLE_IMPORTERS.items():
            if within(name, (library,)) and not within(module.name, importers):
                found.append((line, f"imports {name}: only {', '.join(importers)} may"))
        if within(name, NEVER):
            found.append(
                (line, f"imports {name}: it runs what it reads; use CBOR, NPZ, safetensors")
            )
    for line, name in uses(module):
        if name in WALL_CLOCKS and not within(module.name, EDGE):
            found.append((line, f"reads the wall clock ({name}): take the chain's time"))
        if shares_a_generator(name):
            found.append((line, f"shares a generator ({name}): take a seeded one as an argument"))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and unpickles(node):
            found.append((node.lineno, "unpickles what it loads"))
    return [f"{module.path}:{line}: {text}" for line, text in sorted(set(found))]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_keep_the_rules(package: str) -> None:
    found = [text for module in modules(ROOT, package) for text in violations(module)]
    assert not found, "\n" + "\n".join(found)


BREACHES = """
ledger.round | from fednode.rounds import Rules | imports fednode.rounds.Rules
ledger.round | def f():; import torch.nn | imports torch.nn
ledger.round | from incentives import shapley_exact | imports incentives.shapley_exact
incentives.games | import ledger | imports ledger
incentives.games | import importlib; importlib.import_module("ledger") | imports ledger
ledger.history | from web3.types import LogReceipt | imports web3.types.LogReceipt
ledger.chain.transport | import web3 as w | imports web3
ledger.history | from aiohttp.web import Response | imports aiohttp.web.Response
ledger.chain.client | import requests as r | imports requests
ledger.chain.client | from urllib.request import urlopen | imports urllib.request.urlopen
ledger.chain.client | import http.client | imports http.client
ledger.stores.car | import ipfshttpclient | imports ipfshttpclient
fednode.models.layout | import torch | imports torch
fednode.cli | if TYPE_CHECKING:; import torch | imports torch
fednode.journal | import pickle | imports pickle
ledger.stores.car | from marshal import loads | imports marshal.loads
fednode.roles.proposer | import time; now = time.time() | clock (time.time)
fednode.roles.proposer | from time import time as now; f(now) | clock (time.time)
ledger.round | import datetime as d; d.datetime.now(d.UTC) | (datetime.datetime.now)
ledger.round | from datetime import datetime; datetime.now() | (datetime.datetime.now)
fednode.data.splits | import numpy as np; np.random.seed(1) | (numpy.random.seed)
fednode.data.splits | import numpy as np; np.random.permutation(3) | (numpy.random.permutation)
fednode.data.splits | from random import shuffle; shuffle(x) | generator (random.shuffle)
fednode.data.sources | import numpy as np; np.load(f, allow_pickle=True) | unpickles
fednode.training.sgd | import torch; torch.load(f) | unpickles
fednode.training.sgd | import torch; torch.manual_seed(1) | (torch.manual_seed)
"""


@pytest.mark.parametrize("breach", BREACHES.strip().splitlines())
def test_a_breach_is_found(breach: str) -> None:
    name, code, expected = (part.strip() for part in breach.split("|"))
    source = code.replace(":; ", ":\n    ").replace("; ", "\n")
    path = Path(name.replace(".", "/") + ".py")
    found = violations(parse(name, source, path))
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith(f"{path}:{source.count(chr(10)) + 1}: ")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ledger.chain.provider", "from web3.types import RPCEndpoint"),
        ("ledger.stores.kubo", "import ipfshttpclient"),
        ("fednode.training.sgd", "import torch"),
        ("fednode.models.torch_stack", "from torch import nn"),
        ("fednode.cli.demo", "import time\ntime.time()"),
        ("fednode.roles.process", "import time\ntime.sleep(1); time.monotonic()"),
        ("fednode.data.splits", "import numpy as np\nnp.random.default_rng([1, 2]).permutation(3)"),
        ("incentives.games", "import random\nrandom.Random(3).random()"),
        ("fednode.rounds", "from ledger.round import Rules\nfrom incentives import shapley_exact"),
        ("fednode.torchless", "import torchless"),
        ("fednode.data.sources", "import numpy as np\nnp.load(f, allow_pickle=False)"),
        ("fednode.training.sgd", "import torch\ntorch.load(f, weights_only=True)"),
    ],
)
def test_what_is_allowed_passes(name: str, source: str) -> None:
    assert violations(parse(name, source, Path(name))) == []


def test_relative_imports_are_resolved() -> None:
    source = "from ...fednode import rounds\nfrom . import cid\nfrom .cid import CID"
    assert [name for _, name in imports(parse("ledger.stores.car", source, Path("car.py")))] == [
        "fednode.rounds",
        "ledger.stores.cid",
        "ledger.stores.cid.CID",
    ]


def test_third_party_imports_are_declared() -> None:
    """What the packages import, pyproject.toml requires; it is not what something else brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["data"]]
    names = {"pillow": "PIL", "scikit-learn": "sklearn", "py-solc-x": "solcx"}
    declared = {
        names.get(name, name.replace("-", "_"))
        for name in (text.split("[")[0].split(">")[0].split("=")[0].strip() for text in required)
    }
    # eth-tester[py-evm] is py-evm, whose package is `eth`; pydantic is pydantic_core's front.
    known = declared | {"eth", "pydantic_core"} | set(PACKAGES) | set(sys.stdlib_module_names)
    found = [
        f"{module.path}:{line}: imports {name}, which pyproject.toml does not require"
        for package in PACKAGES
        for module in modules(ROOT, package)
        for line, name in imports(module)
        if name.partition(".")[0] not in known
    ]
    assert not found, "\n" + "\n".join(found)


LOAD_ALL = """
import importlib, pkgutil
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""
HELP = """
from fednode.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    ("script", "heavy"),
    [
        pytest.param(LOAD_ALL.format(package="ledger"), ["torch"], id="ledger"),
        pytest.param(LOAD_ALL.format(package="incentives"), ["torch"], id="incentives"),
        pytest.param(LOAD_ALL.format(package="fednode.aggregation"), ["torch"], id="aggregation"),
        pytest.param(HELP, ["torch", "web3", "aiohttp"], id="help"),
    ],
)
def test_heavy_libraries_are_loaded_late(script: str, heavy: list[str]) -> None:
    """Nothing brings them in indirectly: torch costs 3 s and 630 MB a process, web3 3 s."""
    asks = f"import sys; print('loaded:', *[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script + asks], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
