"""How commands take their arguments, and how they end: wrong usage is one line, as every other error is."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from crewline.cli.printing import OutputClosed, complain, give_up_output
from crewline.errors import InvalidOption
from crewline.wire.checks import check_seconds

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REDIS = 3
#: EX_CONFIG of sysexits.h: restarting will not help.
EXIT_HANDLER = 78


class Group(TyperGroup):
    """Commands that belong together."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))


class Commands(Group):
    """The command ``crewline`` as a whole."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # a terminal that has no letter for a character gets the character's number
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            context = getattr(error, "ctx", None)
            # without a message, help was printed already
            if message := error.format_message().rstrip(". "):
                complain(f"{message}; see {context.command_path} --help" if context else message)
            code = error.exit_code
        except typer.Abort:
            complain("aborted")
            code = EXIT_FAILED
        except OutputClosed:
            code = EXIT_FAILED
        sys.exit(_flushed(code))


class Command(TyperCommand):
    """One of them: its arguments are text."""

    def get_params(self, ctx: Any) -> Any:
        return _without_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        param: Any
        for param in self.params:
            value = ctx.params.get(param.name)
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, str) and not _is_text(each):
                    raise typer.BadParameter(f"{each!r} is not UTF-8: write it in that encoding", ctx=ctx, param=param)
        return rest


def checked(check: Callable[[Any], object]) -> Callable[[Any], Any]:
    """An option's callback: what the engine would refuse is wrong usage of the option, which is named."""
    return converted(lambda value: (check(value), value)[1])


def converted(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same for an option that is given to the command as something else."""

    def callback(value: Any) -> Any:
        if value is not None:
            try:
                return convert(value)
            except InvalidOption as error:
                raise typer.BadParameter(str(error)) from None
        return value

    return callback


def one_of(*known: str) -> Callable[[Any], Any]:
    """The same for an option that is one of some words."""

    def check(value: str) -> None:
        if value not in known:
            raise InvalidOption(f"{value!r} is unknown: use {', '.join(filter(None, known[:-1]))} or {known[-1]}")

    return checked(check)


def completed_from(*known: str) -> Callable[[str], list[str]]:
    """What the shell offers for such an option."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return offer


#: The callback of an option that is a time.
TIME = checked(lambda value: check_seconds(value, "the time"))


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Says what is wrong and ends."""
    complain(message)
    raise typer.Exit(code)


def _without_types(params: Any) -> Any:
    """Help would show ``<float range>`` behind an option, and cut the name of its variable for want of room."""
    for param in params:
        if param.param_type_name == "option":
            param.metavar = ""
    return params


def _is_text(value: str) -> bool:
    # what is not UTF-8 comes as halves of characters
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _flushed(code: int | None) -> int:
    """The exit code, once all is printed: what fails when Python ends, nobody can tell of."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        give_up_output(error)
        return code or EXIT_FAILED
    return code or 0
