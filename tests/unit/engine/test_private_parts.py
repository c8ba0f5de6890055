"""Parts of Python that it promises nobody: without them, or with others in their place, all goes on."""

from __future__ import annotations

import json.encoder
import subprocess
from typing import Any

import pytest
from crewline.wire import jsonio
from crewline.worker.processes import link


def _other_arguments() -> Any: ...


def _other_answer(*arguments: Any) -> Any:
    return lambda value, level: ("{}",)


@pytest.mark.parametrize("make", [json.encoder.c_make_encoder, None, _other_arguments, _other_answer])  # type: ignore[attr-defined]
def test_json_is_written_whatever_pythons_own_encoder_is(make: Any) -> None:
    encode = jsonio._fast_encoder(make)
    assert "".join(encode({"a": [1, "é"]}, 0)) == '{"a":[1,"é"]}'


def test_a_child_starts_also_where_python_does_not_tell_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(subprocess, "_args_from_interpreter_flags")
    assert link._flags() == []
