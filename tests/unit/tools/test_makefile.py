"""`make help` is where a newcomer looks first."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
#: steps that others call and nobody needs to
INNER = {"redis-server", "node", "cluster"}


def test_make_help_lists_every_command_with_a_sentence() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    listed = dict(re.findall(r"^  make ([a-z0-9-]+) +(\S.*)$", shown, re.MULTILINE))
    assert set(listed) == commands - INNER


def test_every_command_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    phony = {word for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE) for word in line.split()}
    assert phony == commands
