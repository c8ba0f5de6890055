"""What the commands of these benches have in common: which measures, on which cluster, and where the result goes."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.cluster.errors import ClusterError

T = TypeVar("T")


def parser_of(prog: str, description: str | None, measures: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of what all of them take."""
    parser = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(measures)}; default: all")
    parser.add_argument("--cluster", default="bench", help="the throw-away cluster's name, if KUBECONFIG is not set")
    parser.add_argument("--keep", action="store_true", help="leave a cluster that was started here running")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured")
    return parser


def run_command(
    parser: argparse.ArgumentParser,
    measures: Sequence[str],
    bench: Callable[[argparse.Namespace], Coroutine[Any, Any, T]],
    markdown: Callable[[T], str],
) -> int:
    """Measure what is asked for, and tell it; the exit status."""
    args = parser.parse_args()
    unknown = set(args.measures) - set(measures)
    if unknown:
        parser.error(f"there is no measure {', '.join(sorted(unknown))}: choose of {', '.join(measures)}")
    try:
        result = asyncio.run(bench(args))
    except ClusterError as error:
        print(f"{parser.prog.removeprefix('python -m ')}: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))
    return 0
