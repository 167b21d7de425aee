"""What a round costs: gas by entry point, seconds and bytes by part, audited against unaudited.

    python scripts/bench/round.py --mnist FOLDER

The README in this folder says what every line means.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

MNIST = "FEDNODE_DATA"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if "numpy" not in sys.modules:  # BLAS reads this once, when it is loaded.
        os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(options.threads)
    from fednode.errors import FedNodeError
    from ledger.errors import LedgerError
    from scripts.bench.measure import Options, measure
    from scripts.bench.report import as_record, text
    from scripts.bench.workload import Size

    size = Size(options.participants, options.rounds, options.rows, options.epochs)
    asked = Options(
        size=size,
        mnist=_mnist(options.mnist),
        engine=options.engine,
        store=options.store,
        shapley=options.shapley,
        threads=options.threads,
    )
    try:
        report = measure(asked)
    except (FedNodeError, LedgerError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps(as_record(report), indent=2) if options.json else text(report))
    return 0


def _mnist(given: Path | None) -> Path | None:
    """Find the folder of MNIST's four files: the option, else the environment, else none."""
    if given is not None:
        return given
    base = os.environ.get(MNIST)
    if not base:
        return None
    return next((p for p in (Path(base) / "mnist", Path(base)) if _holds_mnist(p)), None)


def _holds_mnist(folder: Path) -> bool:
    return any(folder.glob("train-images*"))


def _count(value: str) -> int:
    count = int(value)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count} is not 1 or more")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="What a round costs.")
    parser.add_argument(
        "--mnist",
        type=Path,
        metavar="FOLDER",
        help=f"folder of MNIST's four IDX files (else ${MNIST}, else a stand-in)",
    )
    parser.add_argument("--participants", type=_count, default=10, metavar="N")
    parser.add_argument("--rounds", type=_count, default=2, metavar="N")
    parser.add_argument(
        "--rows", type=_count, default=6000, metavar="N", help="at most so many for a participant"
    )
    parser.add_argument("--epochs", type=_count, default=5, metavar="N", help="a round")
    parser.add_argument(
        "--threads",
        type=_count,
        default=1,
        metavar="N",
        help="torch's threads (all nodes share them)",
    )
    parser.add_argument(
        "--engine", choices=("anvil", "embedded"), default="anvil", help="gas counts on anvil only"
    )
    parser.add_argument(
        "--store", metavar="WHERE", help="folder or Kubo address (else a folder for the time)"
    )
    parser.add_argument(
        "--shapley", type=_count, nargs="*", default=[4, 8], metavar="N", help="players to value"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
