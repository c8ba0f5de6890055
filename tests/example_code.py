"""The access-log example's own files, as modules: they reach workers in a ConfigMap and are part of no package."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tools.demo.install import EXAMPLE


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"access_log_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
