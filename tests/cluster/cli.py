"""The harness' command line: stdout carries the answer (a kubeconfig's path, JSON), stderr what happens meanwhile."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tests.cluster import images as image_builds
from tests.cluster import progress
from tests.cluster.errors import ClusterError
from tests.cluster.paths import NAME_LENGTH_MAX
from tests.cluster.prepare import prepare_machine
from tests.cluster.provider import pick

app = typer.Typer(
    help=(
        "A throw-away Kubernetes for tests and the demo.\n\n"
        "`export KUBECONFIG=$(python -m tests.cluster up)` gives you one; `python -m tests.cluster down` takes it "
        "away.\n\n"
        "It is the cluster that KUBECONFIG names, if that is set; else one made by kind, if docker or podman runs; "
        "else one real node built from Kubernetes' Go modules (needs root on Linux; the first build takes about "
        "8 minutes, a later start 6 seconds). Clusters with different names run side by side."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _name(value: str) -> str:
    if not re.fullmatch(rf"[a-z0-9](?:[a-z0-9-]{{0,{NAME_LENGTH_MAX - 2}}}[a-z0-9])?", value):
        raise typer.BadParameter(f"{value!r} is not a name: use a-z, 0-9 and -, at most {NAME_LENGTH_MAX} characters")
    return value


Name = Annotated[str, typer.Option("--name", callback=_name, envvar="CREWLINE_CLUSTER", help="Which cluster.")]


@app.command()
def up(name: Name = "dev") -> None:
    """Start the cluster, or keep the one that runs, and print its kubeconfig's path."""
    print(pick(name).up())


@app.command()
def down(name: Name = "dev") -> None:
    """Take the cluster away and leave nothing behind, whatever state it is in."""
    pick(name).down()


@app.command()
def status(name: Name = "dev", as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say whether the cluster works, and why not. Exit status 0 means that it does."""
    cluster = pick(name)
    faults = cluster.faults()
    if as_json:
        values = {"name": cluster.name, "provider": cluster.kind, "healthy": not faults, "faults": faults}
        print(json.dumps(values | {"kubeconfig": str(cluster.kubeconfig)}))
    else:
        print(f"{cluster.name} ({cluster.kind}): {'works' if not faults else '; '.join(faults)}")
        print(f"KUBECONFIG={cluster.kubeconfig}")
    raise typer.Exit(1 if faults else 0)


@app.command()
def images(
    name: Name = "dev",
    only_build: Annotated[bool, typer.Option("--only-build", help="Build, print the archives, load nothing.")] = False,
) -> None:
    """Build the worker, operator and Redis images, where something changed, and load them into the cluster."""
    if only_build:
        for built in image_builds.build():
            print(f"{built.image.reference} {built.id} {built.archive}")
    else:
        image_builds.load(pick(name))


@app.command()
def load_image(
    reference: Annotated[str, typer.Argument(help="The image's name in the archive, such as localhost/app:1.")],
    archive: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `docker save` wrote.")],
    name: Name = "dev",
) -> None:
    """Load an image of your own from an archive, so that pods with imagePullPolicy IfNotPresent can use it."""
    with archive.open("rb") as file:
        image_id = hashlib.file_digest(file, "sha256").hexdigest()
    loaded = pick(name).load_image(reference, archive, image_id)
    progress.say(f"{reference} is {'loaded' if loaded else 'there already'}")


@app.command()
def prepare() -> None:
    """Install and build all that a cluster and the images need, so that later commands only start things."""
    prepare_machine()


def main() -> None:
    """Run the command line; what went wrong is one sentence, not a stack trace."""
    try:
        app(prog_name="python -m tests.cluster")
    except ClusterError as error:
        progress.console.print(f"[red]cluster:[/red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
