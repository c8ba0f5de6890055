"""What the harness says when something is missing: one sentence with the mend in it."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cluster import build, debian, progress, provider
from tests.cluster.caller import CallerCluster
from tests.cluster.cli import app
from tests.cluster.errors import ClusterError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBECONFIG", raising=False)


def command(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_without_root_and_engine_it_names_the_three_ways_to_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(provider, "engine", lambda: None)
    with pytest.raises(ClusterError, match=r"set KUBECONFIG .* docker or podman .* root on Linux"):
        provider.pick("no-such-cluster")


def test_an_unknown_provider_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWLINE_PROVIDER", "minikube")
    with pytest.raises(ClusterError, match="CREWLINE_PROVIDER is 'minikube': set it to `node` or `kind`"):
        provider.pick("no-such-cluster")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="missing: no-such-package"):
        debian.install({"no-such-package": "no-such-command"})


def test_no_go_says_which_go_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"Go is not installed: put Go 1\.\d+\.\d+ or newer on PATH"):
        build.go_version(build.KUBE.module)


def test_an_old_go_says_which_go_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path / "bin", "go", "echo go1.19.8")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ClusterError, match=r"go1\.19\.8, but kube needs Go 1\.\d+\.\d+ or newer"):
        build.binary(build.KUBE)


def test_a_failed_build_shows_the_end_of_its_log_and_leaves_no_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = 'if [ "$1" = env ]; then echo go1.99.0; else echo "no space left on device" >&2; exit 1; fi'
    command(tmp_path / "bin", "go", failing)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(ClusterError, match="no space left on device"):
        build.binary(build.PAUSE)
    assert not any((tmp_path / "cache" / "crewline" / "bin").iterdir())


def test_a_long_step_without_a_terminal_says_how_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.05)
    progress.run_long("building", ["sleep", "0.2"], estimate_seconds=480, log=tmp_path / "log")
    said = capsys.readouterr().err
    assert "building: takes about 8 min 0 s" in said
    assert "building: 0 s of about 8 min 0 s" in said


def test_a_cluster_of_somebody_elses_is_not_taken_down(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="did not make"):
        CallerCluster(str(tmp_path / "kubeconfig")).down()


@pytest.mark.parametrize("name", ["Upper", "-dash", "a/b", "x" * 25, ""])
def test_a_name_that_can_name_no_cluster_is_refused(name: str) -> None:
    result = CliRunner().invoke(app, ["status", "--name", name])
    assert result.exit_code == 2
    assert "use a-z, 0-9 and -" in result.output
