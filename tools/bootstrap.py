"""Makes a fresh machine ready, from nothing but a Python: the virtual environment and the programs the tests call.

Runs before anything is installed, hence the standard library alone, and syntax that an old Python can still read, so
that it can say which Python is needed. Every step is a quick no-op when nothing changed since it last ran.

    python3 tools/bootstrap.py venv                    .venv from requirements/dev.txt, every file checked by its hash
    python3 tools/bootstrap.py need redis-server ...   programs; as root on Debian what is missing is installed
    python3 tools/bootstrap.py node                    the locked npm packages of tests/interop
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements" / "dev.txt"
INTEROP = ROOT / "tests" / "interop"
OLDEST_PYTHON = (3, 11)
#: program -> the Debian package that brings it
PACKAGES = {"redis-server": "redis-server", "faketime": "faketime", "node": "nodejs", "npm": "npm"}
OLDEST_NODE = 18


class CannotPrepare(Exception):
    """What is missing and how to mend it, in one sentence."""


def main(arguments):
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    try:
        if command == "venv":
            make_venv()
        elif command == "need":
            need(rest)
        elif command == "node":
            install_node_packages()
        else:
            raise CannotPrepare("usage: bootstrap.py venv | need PROGRAM... | node")
    except CannotPrepare as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"bootstrap: `{' '.join(map(str, error.cmd))}` ended with {error.returncode}, see above", file=sys.stderr)
        return 1
    return 0


# -- .venv ---------------------------------------------------------------------------------------------------------


def make_venv():
    if sys.version_info < OLDEST_PYTHON:
        run_again_with_newer_python()
    stamp, wanted = VENV / ".crewline-setup", venv_key()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("setup: .venv from requirements/dev.txt", flush=True)
    stamp.unlink(missing_ok=True)
    if not venv_works():
        create_venv()
    python = VENV / "bin" / "python"
    if run_quietly(python, "-m", "uv", "--version") is None:
        install_uv(python)
    uv = [str(VENV / "bin" / "uv"), "--quiet"]
    run(*uv, "pip", "sync", "--python", python, "--require-hashes", LOCK)
    # With isolation the build would fetch hatchling a second time, unhashed.
    run(*uv, "pip", "install", "--python", python, "--no-deps", "--no-build-isolation", "--editable", ROOT)
    stamp.write_text(wanted)


def venv_key():
    """Changes with all that the environment is made from; the folder too, since scripts in it hold its full path."""
    digest = hashlib.sha256(f"{ROOT}\n{sys.version_info[:2]}\n".encode())
    for path in (LOCK, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def venv_works():
    script = "import sys; print(sys.prefix, '%d.%d' % sys.version_info[:2])"
    return run_quietly(VENV / "bin" / "python", "-c", script) == "{} {}.{}".format(VENV, *sys.version_info[:2])


def create_venv():
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        install_packages("python{}.{}-venv".format(*sys.version_info[:2]), "Python's venv module")
    run(sys.executable, "-m", "venv", "--clear", VENV)


def install_uv(python):
    """uv itself, by the lock's own hashes: the one package that pip installs."""
    block, inside = [], False
    for line in LOCK.read_text().splitlines():
        if not line.startswith((" ", "#")):
            inside = line.startswith("uv==")
        if inside and not line.lstrip().startswith("#"):
            block.append(line.rstrip(" \\"))
    if not block:
        raise CannotPrepare("requirements/dev.txt has no uv: put `uv` into requirements/dev.in, then `make lock`")
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "uv.txt"
        requirements.write_text(" \\\n".join(block) + "\n")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run(*pip, "--only-binary", ":all:", "--require-hashes", "-r", requirements)


def run_again_with_newer_python():
    for minor in range(20, OLDEST_PYTHON[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer and run_quietly(newer, "-c", "print('here')"):
            os.execv(newer, [newer, __file__, *sys.argv[1:]])
    raise CannotPrepare(
        "Python {}.{} or newer is needed and this is {}.{}: install it, then `make PYTHON=/path/to/it ...`".format(
            *OLDEST_PYTHON, *sys.version_info[:2]
        )
    )


# -- programs ------------------------------------------------------------------------------------------------------


def need(programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        install_packages(" ".join(PACKAGES[program] for program in missing), " and ".join(missing))


def install_packages(packages, purpose):
    apt = shutil.which("apt-get")
    if not apt or os.geteuid() != 0:
        how = f"as root `apt-get install {packages}`" if apt else "with your system's package manager"
        raise CannotPrepare(f"{purpose} is missing: install it ({how}), then call make again")
    print(f"setup: apt-get install {packages}", flush=True)
    # At run level 1 the redis-server package does not start a server on port 6379: the tests start their own.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    quiet = ["-qq", "-o", "Dpkg::Use-Pty=0"]
    run(apt, *quiet, "update", env=environment)
    run(apt, *quiet, "install", "--yes", "--no-install-recommends", *packages.split(), env=environment)


def install_node_packages():
    need(["node", "npm"])
    version = run_quietly("node", "--version") or "v0"
    if int(version[1:].split(".")[0]) < OLDEST_NODE:
        raise CannotPrepare(f"the interop tests need Node {OLDEST_NODE} or newer, not {version}: install a newer one")
    lock = INTEROP / "package-lock.json"
    stamp, wanted = INTEROP / "node_modules" / ".crewline-setup", hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("setup: npm ci in tests/interop", flush=True)
    run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=INTEROP)
    stamp.write_text(wanted)


# -- processes -----------------------------------------------------------------------------------------------------


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, stdin=subprocess.DEVNULL, **options)


def run_quietly(*command):
    """Its output, or None if it could not run or failed."""
    try:
        done = subprocess.run(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
    except OSError:
        return None
    return done.stdout.decode().strip() if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
