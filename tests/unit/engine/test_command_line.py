"""Whatever a command is told, it answers in one line that names what is wrong, and with the exit code that fits."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from crewline.cli import app

#: Nobody listens there.
AWAY = "redis://127.0.0.1:1/0"

#: What each argument is where another one is tried, and what all commands need.
FINE = {
    "handler": "no_such_module:handle", "name": "n", "data": "1", "state": "failed", "job_id": "1", "ids": "1",
    "letter_id": "1", "letters": "1",
}  # fmt: skip
HOSTILE = [
    "", " ", "-", "a:b", ":", "\x1b[2J[/x]", "\u202e[bold]", "-1", "nan", "inf", "-inf", "1e999", "9" * 30, "9" * 5000,
    "²", "None", "{", "[1]", "a,b", "..", "/", "💥", "%s{0}", "\n", "'\"", "--", "0x10", "true", "x" * 70_000,
]  # fmt: skip
URLS = [
    "foo",
    "redis://h:x",
    "redis://h:0",
    "redis://h/x",
    "redis://h?x=1",
    "redis://u:p/w@h",
    "unix://",
    "rediss://h?x",
]
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")

command = typer.main.get_command(app)


def _walk(each: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(each, "commands"):
        for name, inner in each.commands.items():
            yield from _walk(inner, (*path, name))
    else:
        yield path, each


COMMANDS = dict(_walk(command))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def _run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors; what would be a traceback is raised."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        command.main(list(arguments), "crewline")
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def _arguments(path: tuple[str, ...], param: Any, value: str) -> list[str]:
    """A command line that is right but for one argument."""
    options = [f"--redis={AWAY}"]
    if "--queue" in [name for each in COMMANDS[path].params for name in each.opts]:
        options.append("--queue=q")
    inner = [each for each in COMMANDS[path].params if each.param_type_name == "argument"]
    placed = [value if each is param else FINE[each.name] for each in inner]
    if param.param_type_name == "option":
        options.append(f"{param.opts[0]}={value}")
    return [*path, *options, "--", *placed]


def _told(param: Any) -> list[Any]:
    return [each for each in param.params if not getattr(each, "is_flag", False)]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_hostile_arguments_end_in_one_line_and_never_in_a_traceback(path: tuple[str, ...]) -> None:
    for param in _told(COMMANDS[path]):
        for value in [*HOSTILE, *(URLS if "--redis" in param.opts else [])]:
            arguments = _arguments(path, param, value)
            code, out, err = _run(*arguments)
            assert code in (1, 2, 3, 78), (arguments, out)
            # a warning may come before, and what is told of each of several letters behind
            assert re.fullmatch(r"(crewline: [^\n]+\n){1,2}(  [^\n]+\n)*", err) or value == "\n", (arguments, err)
            assert not OBEYED.search(out + err), (arguments, err)
            if "--redis" in param.opts:
                assert code == 2, (arguments, err)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_argument_that_is_not_utf8_is_wrong_usage_and_named(path: tuple[str, ...]) -> None:
    for param in _told(COMMANDS[path]):
        if param.name == "ready_file":
            continue  # a path is what the system takes for one
        arguments = _arguments(path, param, "a\udcff")
        code, _, err = _run(*arguments)
        assert code == 2, (arguments, err)
        assert (param.opts[0] if param.param_type_name == "option" else f"'{param.name}'") in err, (arguments, err)


NUMBERS = [
    (path, param.opts[0])
    for path, each in COMMANDS.items()
    for param in each.params
    if param.opts[0].endswith(("-seconds", "--delay", "--older-than", "--interval", "--per-second"))
]


@pytest.mark.parametrize(("path", "option"), NUMBERS, ids=str)
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e400", "soon", ""])
def test_a_time_or_rate_that_is_none_is_wrong_usage_and_named(path: tuple[str, ...], option: str, value: str) -> None:
    (param,) = (each for each in COMMANDS[path].params if option in each.opts)
    code, _, err = _run(*_arguments(path, param, value))
    assert code == 2, err
    assert option in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "option", "said"),
    [
        (("worker",), "--log-level", "use debug, info, warning"),
        (("worker",), "--execution", "use async, thread or process"),
        (("worker",), "--dead-letter-queue", "must not contain ':'"),
        (("worker",), "--keep-failed", "1000,24h"),
        (("worker",), "--ready-file", "--ready-file"),
        (("top",), "--sort", "use name, waiting"),
        (("events",), "--after", "'0' for all"),
        (("enqueue",), "--keep-completed", "1000,24h"),
        (("metrics",), "--dead-letter-queue", "must not contain ':'"),
        (("dlq", "replay"), "--dead-letter-queue", "must not contain ':'"),
        (("jobs", "list"), "state", "waiting-children"),
        (("clean",), "state", "waiting or active"),
    ],
    ids=str,
)
def test_what_an_option_may_be_is_said_where_it_is_something_else(
    path: tuple[str, ...], option: str, said: str
) -> None:
    (param,) = (each for each in COMMANDS[path].params if option in each.opts)
    code, _, err = _run(*_arguments(path, param, "no:such/thing"))
    assert code == 2 and said in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    "arguments",
    [["nope"], ["jobs", "nope"], ["metrics", "--nope"], ["metrics"], ["jobs", "show"], ["pause", "x"]],
    ids=str,
)
def test_wrong_usage_points_to_the_help_in_one_line(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREWLINE_QUEUE", raising=False)
    code, _, err = _run(*arguments)
    assert code == 2 and re.fullmatch(r"crewline: [^\n]+; see crewline[\w ]* --help\n", err), err


@pytest.mark.parametrize("level", ["INFO", "Warning", "WARN", "debug"])
def test_a_log_level_is_known_in_any_case(level: str) -> None:
    code, _, err = _run("worker", "no_such_module:handle", "-q", "q", "-r", AWAY, "--log-level", level)
    assert code == 78, err


def test_an_empty_variable_means_no_dead_letters_as_an_empty_option_does(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _run("dlq", "list", "-q", "q", "-r", AWAY, "--dead-letter-queue", "")
    assert "has no dead letters" in told[2]
    monkeypatch.setenv("CREWLINE_DEAD_LETTER_QUEUE", "")
    assert _run("dlq", "list", "-q", "q", "-r", AWAY) == told
    assert "has no dead letters" not in _run("dlq", "list", "-q", "q", "-r", AWAY, "--dead-letter-queue", "d")[2]


def test_a_ready_file_of_an_earlier_worker_is_gone_before_the_next_is_ready(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    code, _, _ = _run("worker", "no_such_module:handle", "-q", "q", "-r", AWAY, "--ready-file", "ready")
    assert code == 78 and not (tmp_path / "ready").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--log-level", "loud"], "use debug, info"),
        (["--redis", "redis://h:x"], "no host:port"),
        (["--keep-failed", "soon"], "1000,24h"),
        (["--dead-letter-queue", "q"], "must not be the queue itself"),
        (["--ready-file", "no/such/folder"], "can't be made"),
        ([], "can't be imported"),
    ],
    ids=str,
)
def test_why_a_worker_does_not_start_is_where_kubernetes_looks(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    told.touch()
    monkeypatch.setattr("crewline.cli.ending.TERMINATION_LOG", told)
    code, _, err = _run("worker", "no_such_module:handle", "-q", "q", "-r", AWAY, *arguments)
    assert code == (2 if arguments else 78) and said in told.read_text() and said in err
    # what another command was told wrongly is no word of the worker's
    told.write_text("")
    _run("metrics", "-q", "q", "-r", "nowhere")
    assert told.read_text() == ""


@pytest.mark.parametrize("path", [(), ("jobs",), *(path for path, _ in _walk(command))], ids=" ".join)
def test_help_shows_no_value_for_an_option_that_takes_none(path: tuple[str, ...]) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        command.main([*path, "--help"], prog_name="crewline")
    assert "--help" in printed.getvalue() and "bool" not in printed.getvalue()


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("jo", "jobs"), ("jobs l", "list logs"), ("worker --con", "--concurrency"), ("jobs list f", "failed"),
        ("clean co", "completed"), ("top --sort wa", "waiting"), ("worker --execution p", "process"),
        ("worker --log-level ", "debug info warning error"), ("jobs list -q emails wai", "waiting waiting-children"),
    ],
)  # fmt: skip
def test_the_shell_completes_commands_options_and_what_they_may_say(
    begun: str, offered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_CREWLINE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"crewline {begun}")
    monkeypatch.setenv("COMP_CWORD", str(len(f"crewline {begun}".split(" ")) - 1))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        command.main([], prog_name="crewline")
    assert printed.getvalue().split() == offered.split()
