"""Run benchmarks, print their table and keep it: `python -m benchmarks [AREA ...]`.

Without an area, all that take minutes are run and the kept figures of the long one (learning, over an hour) are shown.
"""

from __future__ import annotations

import argparse
import importlib

from benchmarks.record import LATEST, keep, load, table

QUICK = ("fitting", "prediction", "window")
LONG = ("learning",)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"any of {', '.join(QUICK + LONG)}")
    areas = parser.parse_args().areas or QUICK
    if unknown := set(areas) - {*QUICK, *LONG}:
        parser.error(f"no such area: {', '.join(sorted(unknown))}")
    for area in areas:
        print(f"measuring {area} ...", flush=True)
        keep(list(importlib.import_module(f"benchmarks.{area}").rows()))
    print(table(load()))
    print(f"written to {LATEST}")


if __name__ == "__main__":
    main()
