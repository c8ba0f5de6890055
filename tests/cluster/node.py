"""One real Kubernetes node without a container engine: its components started, watched and taken down."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.cluster import (
    build,
    cgroups,
    components,
    configuration,
    debian,
    health,
    kernel,
    leftovers,
    network,
    pki,
    process,
    volumes,
)
from tests.cluster.archive import write_single_file_image
from tests.cluster.errors import ClusterError
from tests.cluster.lock import locked
from tests.cluster.paths import Layout, lock_file
from tests.cluster.progress import say, timed
from tests.cluster.record import Record
from tests.cluster.shell import run

_ANSWER_SECONDS = 15.0


class NodeCluster:
    """A cluster of one node in a network namespace of its own. Needs root on Linux."""

    kind = "node"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def kubeconfig(self) -> Path:
        record = Record.read(self.name)
        return Path(record.kubeconfig) if record else Layout.of(self.name).kubeconfig

    def up(self) -> Path:
        debian.install(debian.NODE)
        kube, dns, pause = (build.binary(program) for program in (build.KUBE, build.DNS, build.PAUSE))
        with locked(lock_file(self.name), f"cluster {self.name}"):
            record = Record.read(self.name)
            if record:
                faults = self.faults()
                if not faults:
                    say(f"cluster {self.name} runs already")
                    volumes.renew(record.layout, _kubectl(record.layout, kube))
                    return record.layout.kubeconfig
                say(f"cluster {self.name} is broken and starts anew: {faults[0]}")
            self._sweep(record)
            with timed(f"cluster {self.name} is ready"):
                return self._start(kube, dns, pause)

    def down(self) -> None:
        with locked(lock_file(self.name), f"cluster {self.name}"), timed(f"cluster {self.name} is gone"):
            self._sweep(Record.read(self.name))

    def faults(self) -> list[str]:
        record = Record.read(self.name)
        if record is None:
            return [f"cluster {self.name} does not run"]
        found = [f"{name} has ended: see {record.layout.log}/{name}.log" for name in record.dead()]
        # A busy machine is slow to answer; a working cluster must not be taken for a broken one, and started anew.
        if not found and not health.until(lambda: health.api_ready(record.layout, record.port), _ANSWER_SECONDS):
            found.append("the API server does not answer")
        if not found and not health.until(lambda: health.node_ready(record.layout, record.port), _ANSWER_SECONDS):
            found.append("the node is not ready")
        return found

    def load_image(self, reference: str, archive: Path, image_id: str) -> bool:
        record = Record.read(self.name)
        if record is None:
            raise ClusterError(f"cluster {self.name} does not run: `python -m tests.cluster up --name {self.name}`")
        if record.images.get(reference) == image_id:
            return False
        self._ctr(record.layout, "image", "import", archive)
        record.images[reference] = image_id
        record.save()
        return True

    def restart_api(self) -> None:
        """Kill the API server, and start another in its place; returns when that one works."""
        record = Record.read(self.name)
        if record is None:
            raise ClusterError(f"cluster {self.name} does not run: `python -m tests.cluster up --name {self.name}`")
        layout = record.layout
        server = next(iter(components.api(layout, build.binary(build.KUBE), record.port)))
        record.components[server.name].kill()
        self._launch(record, [server])
        health.wait(server, record.components[server.name], layout)

    def _start(self, kube: Path, dns: Path, pause: Path) -> Path:
        layout = Layout.of(self.name)
        record = Record(self.name, self.kind, str(layout.kubeconfig), str(layout.data), port=network.free_port())
        record.kernel = next((other.kernel for other in Record.all() if other.kernel), kernel.settings())
        for folder in (layout.run, layout.data, layout.log):
            folder.mkdir(parents=True, exist_ok=True)
        # On disk before anything is made: from here on `down` finds all of it, whatever happens to this process.
        record.save()
        network.create(layout.namespace)
        configuration.write(layout)

        def wait(launched: Iterable[components.Component]) -> None:
            for component in launched:
                health.wait(component, record.components[component.name], layout)

        # Each group starts while the next one's files are made.
        storage = self._launch(record, components.storage(layout, kube))
        pki.create(layout.pki, api_url=components.API_URL_INSIDE)
        url = f"https://127.0.0.1:{record.port}"
        pki.write_kubeconfig(layout.kubeconfig, pki=layout.pki, client="admin", api_url=url, name=layout.namespace)
        wait(storage)
        api = self._launch(record, components.api(layout, kube, record.port))
        self._load_pause(record, pause)
        wait(api)
        rest = self._launch(record, [*components.controllers(layout, kube), *components.names(layout, dns)])
        volumes.create(layout, _kubectl(layout, kube))
        wait(rest)
        if not health.until(lambda: health.node_ready(layout, record.port), health.START_SECONDS):
            raise ClusterError(f"the node is not ready after {health.START_SECONDS:g} s: see {layout.log}/kubelet.log")
        if not health.until(lambda: health.takes_pods(layout, record.port), health.START_SECONDS):
            raise ClusterError(f"no service account `default`: see {layout.log}/controller-manager.log")
        return layout.kubeconfig

    def _launch(self, record: Record, group: Iterable[components.Component]) -> list[components.Component]:
        layout = record.layout
        cgroup = cgroups.create(layout.namespace)
        launched = list(group)
        for component in launched:
            words = [*network.inside(layout.namespace), *component.argv] if component.inside else component.argv
            log = layout.log / f"{component.name}.log"
            record.components[component.name] = process.start(words, log=log, cgroup=cgroup)
            record.save()
        return launched

    def _load_pause(self, record: Record, pause: Path) -> None:
        archive = record.layout.data / "pause.tar"
        write_single_file_image(archive, configuration.PAUSE_IMAGE, pause, "/pause")
        self.load_image(configuration.PAUSE_IMAGE, archive, pause.name)
        archive.unlink()

    def _sweep(self, record: Record | None) -> None:
        layout = record.layout if record else Layout.of(self.name)
        leftovers.sweep(layout)
        if record and not Record.all():
            kernel.restore(record.kernel)
        if left := leftovers.left(layout):
            raise ClusterError(f"cluster {self.name} left behind: {', '.join(left)}")

    def _ctr(self, layout: Layout, *words: str | Path) -> str:
        return run(["ctr", "-a", layout.containerd_socket, "-n", "k8s.io", *words], timeout_seconds=300)


def _kubectl(layout: Layout, kube: Path) -> list[str | Path]:
    return [kube, "kubectl", f"--kubeconfig={layout.kubeconfig}"]
