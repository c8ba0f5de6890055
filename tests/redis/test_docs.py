"""The engine's documentation is run: what a page shows works, and prints what the page says it prints.

In `docs/engine/*.md`
- a ``python`` block is a whole program; one that begins with a comment such as ``# handlers.py`` is also a file beside
  the later blocks of its page;
- a ``console`` block is a session: lines after ``$`` are run by bash, the others are what they print;
- a ``text`` block after the line ``Output:`` is all that the block before it prints; without one it prints nothing.
``...`` stands for what differs from run to run. ``localhost:6379`` is where the test's Redis is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import doctest
import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import crewline
import pytest
import typer
from crewline import cli

from tests.interop import intended
from tests.manifests import on_page, shown

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/engine").glob("*.md"))
INDEX = ROOT / "docs/engine.md"

#: Seconds that a block may take on a busy machine; most need one.
LIMIT_SECONDS = 40

#: Kinds of blocks: run, run, not run.
LANGUAGES = {"python", "console", "text"}

_fence = re.compile(r"```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What a worker's log tells of a job that failed for good, its trace below: a page may be about such jobs.
_of_jobs = re.compile(r"^job .* attempt \d+ of \d+ failed: .*\nTraceback .*\n(?:  .*\n)+\S.*\n", re.MULTILINE)
_file_name = re.compile(r"# (\w+\.py)\b")


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of a page, where it is, and what the page says it prints."""

    language: str
    text: str
    place: str
    output: str


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that are run."""
    text = page.read_text()
    found = list(_fence.finditer(text))
    assert text.count("```") == 2 * len(found), f"{page.name}: a block is not closed, or is indented"
    for match, following in zip(found, [*found[1:], None], strict=True):
        output = ""
        if following and text[match.end() : following.start()].strip() == "Output:":
            output = following[2]
        place = f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}"
        yield Block(match[1], match[2], place, output)


def run_page(page: Path, folder: Path, url: str) -> None:
    """Runs all blocks of a page, in order, in one folder; raises AssertionError where the page is wrong."""
    for number, block in enumerate(blocks(page)):
        assert block.language in LANGUAGES, f"{block.place}: a block of {block.language or 'no language'!r}"
        text = block.text.replace("localhost:6379", urlsplit(url).netloc)
        if block.language == "python":
            named = _file_name.match(text)
            program = folder / (named[1] if named else f"block{number}.py")
            program.write_text(text)
            code, out, err = _run([sys.executable, str(program)], folder, url, block.place)
            assert code == 0 and "Traceback" not in _of_jobs.sub("", err), (
                f"{block.place} ended with {code}:\n{out}{err}"
            )
            _compare(block.output, out, block.place)
        elif block.language == "console":
            code, out, err = _run(["bash", "-c", _session(text)], folder, url, block.place)
            _compare(block.text, out + err, block.place)


def _run(command: list[str], folder: Path, url: str, place: str) -> tuple[int, str, str]:
    """Runs a program in a session of its own and ends with it whatever it leaves running there."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CREWLINE_REDIS_URL": url, "COLUMNS": "120", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / name).open("w+")) for name in (".out", ".err")]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=files[0], stderr=files[1],
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{place} had not ended after {LIMIT_SECONDS} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return (code, *((folder / name).read_text() for name in (".out", ".err")))


def _session(text: str) -> str:
    """A script that prints what a terminal would show."""
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    assert commands, f"a console block without a command: {text!r}"
    return "exec 2>&1\n" + "\n".join(f"printf '$ %s\\n' {shlex.quote(command)}\n{command}" for command in commands)


def _compare(said: str, printed: str, place: str) -> None:
    want, got = (
        "\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n" if text.strip() else ""
        for text in (said, printed)
    )
    if not doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS | doctest.DONT_ACCEPT_BLANKLINE):
        raise AssertionError(f"{place} prints\n{got}and the page says\n{want}")


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_examples_of_a_page_run_and_print_what_it_says(page: Path, tmp_path: Path, redis_url: str) -> None:
    assert any(block.language == "python" for block in blocks(page)), "a page without an example"
    run_page(page, tmp_path, redis_url)


def test_the_readmes_handler_and_producer_work_together(tmp_path: Path, redis_url: str) -> None:
    handlers, producer = (block for block in blocks(ROOT / "README.md") if block.language == "python")
    (tmp_path / "handlers.py").write_text(handlers.text)
    (tmp_path / "producer.py").write_text(producer.text.replace("localhost:6379", urlsplit(redis_url).netloc))
    session = "crewline worker handlers:handle --queue emails & python producer.py"
    code, out, err = _run(["bash", "-c", session], tmp_path, redis_url, "README.md")
    assert (code, out) == (0, "{'sent': 'a@example.com'}\n"), err


@pytest.mark.parametrize(
    ("page", "code", "result"),
    [
        ("README.md", None, {"sent": "team@example.com"}),
        ("docs/scheduledjob.md", "examples/access-log/digest.py", {"completed": 0, "dead": 0, "waiting": 0}),
    ],
)
def test_what_a_scheduled_job_on_a_page_adds_is_done_by_the_handler_of_its_queue(
    page: str, code: str | None, result: object, tmp_path: Path, redis_url: str
) -> None:
    (scheduled,) = (each for each in on_page(ROOT / page) if each.kind == "ScheduledJob")
    wanted = scheduled.obj["spec"]
    (queue,) = {
        (each.name, each.obj["spec"]["worker"]["handler"])
        for each in shown()
        if each.kind == "JobQueue" and each.name == wanted["queueRef"]["name"]
    }
    if code is None:
        (tmp_path / "handlers.py").write_text(next(b.text for b in blocks(ROOT / page) if b.language == "python"))
    else:
        shutil.copy(ROOT / code, tmp_path)
    name, handler = queue
    job = wanted["job"]
    program = f"""
        crewline enqueue {job["name"]} {shlex.quote(json.dumps(job["data"]))} -q {name} --job-id run > /dev/null
        CREWLINE_PREFIX=bull crewline worker {handler} -q {name} &
        until crewline jobs show run -q {name} --json | grep -E '"state": "(completed|failed)"'; do sleep 0.1; done
    """
    _, out, err = _run(["bash", "-c", program], tmp_path, redis_url, page)
    ended = json.loads(out)
    assert (ended["state"], ended["return_value"]) == ("completed", result), (ended, err)


def test_getting_started_ends_as_it_says_where_a_worker_stands_in_for_the_cluster(
    tmp_path: Path, redis_url: str
) -> None:
    text = (ROOT / "docs/getting-started.md").read_text().replace("redis://127.0.0.1:16379/0", redis_url)
    (producer,) = re.findall(r"<<'PY'\n(.*?)^PY$", text, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^\.venv/bin/(crewline dlq .*)$", text, re.MULTILINE)
    assert len(commands) == 2, "what to do with dead letters"
    (tmp_path / "producer.py").write_text(producer)
    examples = ROOT / "examples"
    (tmp_path / "examples").symlink_to(examples)
    program = f"""
        python producer.py
        ACCESS_LOG_PACE_SECONDS=0 crewline worker handlers:count -q access-log --code-path examples/access-log &
        until crewline metrics -q access-log --json | grep -q '"completed": 19, "failed": 1'; do sleep 0.2; done
        {commands[0]}; {commands[1]}
    """
    _, out, err = _run(["bash", "-c", program], tmp_path, redis_url, "getting-started.md")
    assert "chunk-017" in out and "is not in combined log format" in out and "replayed 1" in out, out + err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\n1 / 0\n```\n", r"page.md:1 ended with 1:\n(.|\n)*ZeroDivisionError"),
        (
            "A\n\n```python\nprint(1)\n```\n\nOutput:\n\n```text\n2\n```\n",
            "page.md:3 prints\n1\nand the page says\n2\n",
        ),
        ("```python\nprint(1)\n```\n", "prints\n1\nand the page says\n"),
        ("```python\nawait queue.add('n', 1)\n```\n", "SyntaxError"),
        ("```console\n$ echo one\ntwo\n```\n", "prints\n\\$ echo one\none\nand"),
        ("```sh\necho\n```\n", "a block of 'sh'"),
        ("```python\nprint(1)\n", "not closed"),
    ],
)
def test_a_wrong_page_is_refused(text: str, said: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=said):
        run_page(page, tmp_path, "redis://127.0.0.1:1/0")


def test_a_block_that_hangs_is_refused_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LIMIT_SECONDS", 1)
    page = tmp_path / "page.md"
    page.write_text("```python\nimport time\n\ntime.sleep(600)\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:1 had not ended after 1 s"):
        run_page(page, tmp_path, "redis://127.0.0.1:1/0")


def test_the_index_lists_every_page_once() -> None:
    linked = re.findall(r"\(engine/([\w-]+\.md)\)", INDEX.read_text())
    assert sorted(linked) == [page.name for page in PAGES]


def test_links_between_pages_lead_somewhere() -> None:
    for page in [INDEX, *PAGES]:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{page.name} links to {target}, which is not there"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
                known = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor in known, f"{page.name} links to #{anchor} of {file.name}, which has {known}"


def test_every_public_name_and_argument_is_documented() -> None:
    told = "".join(page.read_text() for page in PAGES)
    words = set(re.findall(r"\w+", told))
    wanted = set(crewline.__all__)
    for function in (crewline.Queue, crewline.Queue.add, crewline.Queue.schedule, crewline.Worker, crewline.JobQueue):
        parameters = inspect.signature(function).parameters.values()
        wanted |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    for kind in (crewline.Backoff, crewline.Dedup, crewline.Keep, crewline.FlowJob, crewline.Metrics, crewline.Event):
        wanted |= {field.name for field in dataclasses.fields(kind)}
    for kind in (crewline.Queue, crewline.Job, crewline.Worker, crewline.DeadLetters, crewline.JobQueue):
        wanted |= {name for name, value in vars(kind).items() if callable(value) and not name.startswith("_")}
        wanted |= {name for base in kind.__bases__ for name in vars(base) if not name.startswith("_")}
    internal = {"from_hash", "decode_opts", "url", "name", "prefix", "keys", "redis", "scripts"}
    assert not wanted - words - internal, "in no page"


def test_every_intended_difference_from_bullmq_is_on_its_page() -> None:
    _, _, table = (ROOT / "docs/engine/bullmq.md").read_text().partition("what is in the keys")
    for take_away in intended.INTENDED:
        what = (take_away.__doc__ or "").partition("`")[2].partition("`")[0]
        assert what and f"`{what}`" in table, f"{take_away.__name__}: {what}"


def test_every_command_option_and_variable_is_on_the_command_lines_page() -> None:
    told = (ROOT / "docs/engine/command-line.md").read_text()
    missing = []
    for path, command in _commands(typer.main.get_command(cli.app), "crewline"):
        if path not in told:
            missing.append(path)
        for parameter in command.params:
            for name in [*[o for o in parameter.opts if o.startswith("--")], *filter(None, [parameter.envvar])]:
                if name not in ("--help", "--install-completion", "--show-completion") and f"`{name}" not in told:
                    missing.append(f"{path} {name}")
    assert not missing


def _commands(command: object, path: str) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        assert isinstance(command, typer.core.TyperCommand)
        yield path, command
    for name, each in (inner or {}).items():
        yield from _commands(each, f"{path} {name}")
