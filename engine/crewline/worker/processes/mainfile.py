"""Handlers of the program's own main file, for a child process: the child loads that file under another name, as
multiprocessing's children do.

That is done only where the file says what is not to run then, by ``if __name__ == "__main__":``. Any other would start
its whole program anew in each child.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

#: What a child knows the main file by.
NAME = "__mp_main__"


def name_of_main() -> str | None:
    """The module name by which a child finds the main file; None if it can't have it."""
    main = sys.modules["__main__"]
    path = path_of_main()
    if not path or not is_guarded(path):
        return None
    # python -m package.module: it has a name that can be imported; a folder that is run has none
    name = main.__spec__.name if main.__spec__ is not None else "__main__"
    return NAME if name == "__main__" else name


def path_of_main() -> str:
    """The main file; '' where there is none: an interpreter that a person types into, or ``python -c``."""
    path: str | None = getattr(sys.modules["__main__"], "__file__", None)
    return str(Path(path).absolute()) if path else ""


@functools.cache
def is_guarded(path: str) -> bool:
    """Whether a file runs its program only where it is the main file."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.If) and _asks_for_main(node.test) for node in tree.body)


def _asks_for_main(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or not all(isinstance(each, ast.Eq) for each in test.ops):
        return False
    compared = [test.left, *test.comparators]
    return {ast.unparse(each) for each in compared} == {"__name__", "'__main__'"}


def load(path: str) -> ModuleType:
    """Loads the main file of the worker in a child; raises what its import raises."""
    spec = importlib.util.spec_from_file_location(NAME, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # what was pickled in the worker names it __main__
    sys.modules[NAME] = sys.modules["__main__"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[NAME]
        raise
    return module
