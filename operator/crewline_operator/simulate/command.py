"""`crewline-operator simulate`: what a JobQueue's scaling would have done with a recorded load."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from crewline_operator.simulate.figures import table
from crewline_operator.simulate.manifest import ManifestError, read_manifest
from crewline_operator.simulate.model import Cluster, TooLong, simulate
from crewline_operator.simulate.svg import draw
from crewline_operator.simulate.trace import SERVICE_SECONDS, TraceError, read_trace, spread

SUMMARY = "try a JobQueue's scaling on a recorded load"

HELP = """\
Plays a recorded load against the scaling of a JobQueue, with the function that the operator decides by, in simulated
time: no cluster, no Redis, the same answer each time. Prints how long jobs would have waited and what the workers would
have cost, and draws both.
"""

MORE = """\
the trace is a CSV file with a header:
  time             seconds; the first line is the beginning (epoch seconds will do)
  jobs             how many come then; default 1
  service_seconds  how long each of them runs; default is --service-seconds
Its lines are in the order of time. Where a line counts the jobs of a minute or so, add --spread.

what is modelled: jobs are taken first in, first out; a new pod takes --startup-seconds until its first job; workers
that are too many end what they run first; the queue is read each --poll-seconds. What is not: retries, priorities,
limits, jobs that slow each other down, a cluster without room. docs/scaling.md tells more.

for example:
  {prog} --spread --arrivals examples/scaling/morning.csv --spec examples/scaling/jobqueue.yaml
"""


def main(argv: Sequence[str] | None = None, prog: str = "crewline-operator simulate") -> int:
    """Run the command; the exit status: 0 done, 2 if a file or an option is wrong."""
    parser = _Parser(
        prog=prog,
        description=HELP,
        epilog=MORE.format(prog=prog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--arrivals", required=True, metavar="TRACE.csv", help="the load: when jobs came (below)")
    parser.add_argument("--spec", required=True, metavar="JOBQUEUE.yaml", help="the JobQueue, as one applies it")
    parser.add_argument("--jobqueue", metavar="NAME", help="which one, if the file has several")
    parser.add_argument("--out", metavar="FILE.svg", default="simulated.svg", help="the picture; default %(default)s")
    parser.add_argument(
        "--spread", action="store_true", help="the jobs of a line come evenly until the next line, not at once"
    )
    _seconds(parser, "--service-seconds", SERVICE_SECONDS, "how long a job runs that does not tell", least=0.0)
    _seconds(parser, "--startup-seconds", Cluster.startup_seconds, "from a new pod to its first job", least=0.0)
    _seconds(parser, "--poll-seconds", Cluster.poll_seconds, "time between two reads of the queue", least=0.05)
    parser.add_argument("--decisions", action="store_true", help="print each change of the replicas, and why")
    options = parser.parse_args(argv)
    try:
        return _run(options)
    except (TraceError, ManifestError) as error:
        parser.complain(str(error))
    except TooLong as error:
        parser.complain(f"{options.arrivals}: {error}: cut a shorter time out, or raise --poll-seconds")
    except BrokenPipeError:
        # Who reads has seen enough; Python would complain of it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        parser.complain(f"{error.filename}: {error.strerror}")
    return 2


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, as the other commands do."""

    def error(self, message: str) -> NoReturn:
        self.complain(f"{message}; see {self.prog} --help")
        sys.exit(2)

    def complain(self, message: str) -> None:
        # A file's text is anybody's: nothing in it is for the terminal to obey.
        safe = "".join(each if each.isprintable() else repr(each)[1:-1] for each in message)
        print(f"{self.prog.split()[0]}: {safe}", file=sys.stderr)


def _run(options: argparse.Namespace) -> int:
    tried = read_manifest(options.spec, _text(options.spec, ManifestError), options.jobqueue)
    lines = _text(options.arrivals, TraceError).splitlines(keepends=True)
    arrivals = read_trace(options.arrivals, lines, options.service_seconds)
    outcome = simulate(
        tried.scaling,
        spread(arrivals) if options.spread else arrivals,
        Cluster(options.startup_seconds, options.poll_seconds),
    )
    Path(options.out).write_text(draw(f"JobQueue {tried.name}: {tried.scaling.target}", tried.scaling, outcome))
    if options.decisions:
        for scaled in outcome.scalings:
            print(f"{scaled.time:10.1f} s  {scaled.before} -> {scaled.to}: {scaled.reason}")
        print()
    print(table(tried.scaling, outcome))
    print(f"\npicture: {options.out}", flush=True)
    return 0


def _text(path: str, wrong: type[Exception]) -> str:
    try:
        return Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from None


def _seconds(parser: argparse.ArgumentParser, name: str, default: float, what: str, *, least: float) -> None:
    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= 1e6:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from {least:g} to 1000000")
        return value

    parser.add_argument(name, type=seconds, metavar="SECONDS", default=default, help=f"{what}; default %(default)s")
