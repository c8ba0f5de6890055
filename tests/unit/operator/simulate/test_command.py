"""`crewline simulate`: the same answer each time, and what is wrong in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from crewline.cli import app
from crewline_operator.main import main as operator
from crewline_operator.simulate import model
from crewline_operator.simulate.command import main
from typer.main import get_command

EXAMPLES = Path(__file__).parents[4] / "examples" / "scaling"
DOCS = EXAMPLES.parents[1] / "docs"
MORNING = ["--arrivals", str(EXAMPLES / "morning.csv"), "--spec", str(EXAMPLES / "jobqueue.yaml"), "--spread"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(out: str) -> dict[str, str]:
    """The table that was printed."""
    return dict(re.split(r"  +", line.strip(), maxsplit=1) for line in out.splitlines() if "  " in line)


def test_it_prints_what_the_load_would_have_seen_and_draws_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*MORNING, "--out", "morning.svg"]) == 0
    out = capsys.readouterr().out
    rows = told(out)
    assert rows["jobs"] == "17,552"
    assert rows["waited longer than 30 s"] == "0 (0.0 %)"
    for what in ("wait p50", "wait p95", "wait max", "replica-seconds", "scalings"):
        assert rows[what]
    assert out.endswith("picture: morning.svg\n")
    assert Path("morning.svg").read_text().startswith("<svg ")


def test_the_page_shows_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main(MORNING)
    table = capsys.readouterr().out.rpartition("\n\npicture")[0]
    assert table in (DOCS / "scaling.md").read_text()
    assert Path("simulated.svg").read_text() == (DOCS / "scaling.svg").read_text()


@pytest.mark.parametrize(
    "target",
    [
        "latencyObjectiveSeconds: 30", "latencyObjectiveSeconds: 300", "jobsPerReplica: 4", "jobsPerReplica: 40",
        "utilizationPercent: 70",
    ],
)  # fmt: skip
def test_the_page_compares_the_targets_as_they_are(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = (EXAMPLES / "jobqueue.yaml").read_text()
    Path("other.yaml").write_text(spec.replace("latencyObjectiveSeconds: 30", target))
    main([*MORNING[:2], "--spec=other.yaml", "--spread"])
    rows = told(capsys.readouterr().out)
    shown = ("wait p95", "wait max", "replica-seconds", "replicas at most", "slots busy", "scalings")
    row = " | ".join(rows[what] for what in shown)
    assert f"| `{target}` | {row} |\n" in (DOCS / "scaling.md").read_text()


def test_each_decision_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    main([*MORNING, "--decisions"])
    first = capsys.readouterr().out.splitlines()[0]
    assert first == (
        "       1.0 s  0 -> 1: waiting 1, active 0: no job has run yet that tells how long one takes -> 1 replica"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "crewline-operator: the following arguments are required: --arrivals, --spec; see crewline-operator simu"),
        ([*MORNING, "--startup-seconds", "soon"], "crewline-operator: argument --startup-seconds: 'soon' is not a num"),
        ([*MORNING, "--poll-seconds=0"], "crewline-operator: argument --poll-seconds: '0' is not a number of seconds"),
        ([*MORNING, "--jobqueue", "x"], f"crewline-operator: {EXAMPLES}/jobqueue.yaml: there is no JobQueue 'x'"),
        (["--arrivals=no.csv", *MORNING[2:]], "crewline-operator: no.csv: No such file or directory"),
        ([*MORNING, "--out", "no/folder.svg"], "crewline-operator: no/folder.svg: No such file or directory"),
        (["--arrivals=odd.csv", *MORNING[2:]], "crewline-operator: odd.csv is no text in UTF-8: invalid start byte"),
        (["--arrivals=\x1b[2J", *MORNING[2:]], "crewline-operator: \\x1b[2J: No such file"),
    ],
    ids=lambda value: value[-1][-20:] if isinstance(value, list) and value else "",
)
def test_what_is_wrong_is_told_in_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.csv").write_bytes(b"time\n\xff\n")
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]
    assert code == 2
    err = capsys.readouterr().err
    assert err.startswith(says)
    assert err.count("\n") == 1


def test_a_load_that_takes_too_long_is_told_with_the_mend(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "LOOKS_MAX", 100)
    assert main(MORNING) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith("cut a shorter time out, or raise --poll-seconds\n")


def test_help_teaches_the_columns_and_an_example_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "service_seconds  how long each of them runs" in out
    (example,) = re.findall(r"^  crewline-operator simulate (.+)$", out, re.MULTILINE)
    assert main([word.replace("examples/scaling", str(EXAMPLES)) for word in example.split()]) == 0


def test_it_is_a_command_of_the_operator_and_of_crewline(capsys: pytest.CaptureFixture[str]) -> None:
    assert operator(["simulate", *MORNING]) == 0
    told = capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        get_command(app).main(["simulate", *MORNING], "crewline")
    assert end.value.code == 0
    assert capsys.readouterr().out == told
    with pytest.raises(SystemExit) as end:
        get_command(app).main(["simulate", "--nope"], "crewline")
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("crewline: ")


def test_without_the_operator_crewline_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("crewline.cli.elsewhere.entry_points", lambda **_: ())
    with pytest.raises(SystemExit) as end:
        get_command(app).main(["simulate", *MORNING], "crewline")
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "crewline: simulate is not installed: pip install 'crewline[operator]' brings it\n"
    )  # fmt: skip
