"""The machine-wide kernel settings that a kubelet changes, kept so that the last cluster to go can put them back."""

from __future__ import annotations

from pathlib import Path

_CHANGED_BY_THE_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def settings() -> dict[str, str]:
    """The settings as they are now."""
    files = {name: Path("/proc/sys") / name for name in _CHANGED_BY_THE_KUBELET}
    return {name: file.read_text().strip() for name, file in files.items() if file.exists()}


def restore(values: dict[str, str]) -> None:
    """Put back what differs."""
    now = settings()
    for name, value in values.items():
        if now.get(name) != value:
            (Path("/proc/sys") / name).write_text(value)
