"""Four hospitals train a model of heart disease, on the chain, and anyone can audit it.

The whole path once, with real roles on real engines or on the embedded ones: `fednode demo`.
"""

from fednode.demo.options import DemoOptions
from fednode.demo.result import DemoResult
from fednode.demo.watch import Nobody, Watch

__all__ = ["DemoOptions", "DemoResult", "Nobody", "Watch", "run_demo"]

_NOBODY = Nobody()


def run_demo(options: DemoOptions, watch: Watch = _NOBODY) -> DemoResult:
    """Run the demo, telling `watch` how it goes; see the options' directory for what it leaves."""
    from fednode.demo.run import run

    return run(options, watch)
