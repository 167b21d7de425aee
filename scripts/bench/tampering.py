"""Tamper with simulated federations in every known way and count what the audit finds.

    python scripts/bench/tampering.py [--trials 50] [--json]

As many federations in which all was well are audited as well.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tamper.trials import KINDS, false_alarms, tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=50, help="trials of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rows = []
    for row in tallies(arguments.trials):
        rows.append((row.kind.name, row.kind.step.name, row.trials, row.found, row.named))
        if not arguments.json:
            print("{:44} {:14} {:4} trials {:4} found {:4} named".format(*rows[-1]), flush=True)
    runs = arguments.trials * len(KINDS)
    alarms = false_alarms(0, runs)
    if arguments.json:
        names = ("kind", "step", "trials", "found", "named")
        kinds = [dict(zip(names, row, strict=True)) for row in rows]
        print(json.dumps({"kinds": kinds, "clean_runs": runs, "false_alarms": alarms}, indent=2))
    else:
        found, named = sum(row[3] for row in rows), sum(row[4] for row in rows)
        print(f"\n{runs} trials of {len(rows)} kinds: {found} found, {named} rightly named")
        print(f"{runs} clean runs: {len(alarms)} false alarms", *alarms, sep="\n")
    return int(bool(alarms) or any(row[4] < row[2] for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
