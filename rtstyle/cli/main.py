"""The command ``rtstyle``: finds its sub-commands late and turns errors into lines and exit codes.

Sub-commands are imported when they are called, so ``rtstyle --help`` is quick and a package that
one command misses breaks no other.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

import click

from rtstyle import __version__
from rtstyle.cli.terminal import (
    LostOutputError,
    ReaderGoneError,
    echo,
    echo_traceback,
    guarded,
    shown,
)
from rtstyle.errors import EXIT_INTERRUPTED, BackendOutOfMemory, RtstyleError
from rtstyle.memory import caused_by_memory, check_start, out_of_memory

EXIT_BROKEN_PIPE = 141
"""128 + SIGPIPE: what a shell reports for a program whose reader went away."""


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a sub-command is, and the line the overview gives it."""

    place: str
    """``module:attribute``."""
    summary: str


COMMANDS: dict[str, LazyCommand] = {
    "video": LazyCommand("rtstyle.cli.video:video", "Stylize a video, with its sound."),
    "image": LazyCommand("rtstyle.cli.image:image", "Stylize pictures."),
    "live": LazyCommand("rtstyle.cli.live:live", "Stylize a camera, live."),
    "cameras": LazyCommand("rtstyle.cli.cameras:cameras", "List cameras and their modes."),
    "verify": LazyCommand(
        "rtstyle.cli.verify:verify", "Prove what of a video is in its conversion."
    ),
    "demo": LazyCommand("rtstyle.cli.demo:demo", "Draw a sample clip and stylize it."),
    "web": LazyCommand("rtstyle.cli.web:web", "Serve a page: live camera, films, pictures."),
    "styles": LazyCommand("rtstyle.cli.styles:styles", "List, show and import styles."),
    "doctor": LazyCommand("rtstyle.cli.doctor:doctor", "Check this installation."),
    "train": LazyCommand("rtstyle.cli.train:train", "Train a style of your own."),
    "export": LazyCommand("rtstyle.cli.export:export", "Turn a trained net into a style."),
}

EXTRAS = {
    "aiohttp": "web",
    "aioice": "web",
    "aiortc": "web",
    "av": None,
    "cv2": None,
    "numpy": None,
    "onnx": "cpu",
    "onnxruntime": "cpu",
    "onnxscript": "train",
    "openvino": "cpu",
    "pygame": "live",
    "safetensors": "train",
    "torch": "train",
}
"""Which extra brings a module; None: the base does."""


def _debug_wanted(ctx: click.Context) -> bool:
    return bool(ctx.find_root().meta.get("rtstyle.debug"))


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value:
        ctx.find_root().meta["rtstyle.debug"] = True


def _debug_option() -> click.Option:
    return click.Option(
        ["--debug"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_debug,
        help="Show the traceback of an error.",
    )


class RtstyleGroup(click.Group):
    """The one place that maps errors to messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if cmd_name != "doctor":
            check_start()
        module, _, attribute = entry.place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        # People add --debug at the end of the line that failed.
        if not any("--debug" in parameter.opts for parameter in command.params):
            command.params.append(_debug_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as click has it
        with guarded():
            try:
                return super().main(*args, **kwargs)
            # Of the overview and the version; a command's are met below.
            except ReaderGoneError:
                sys.exit(EXIT_BROKEN_PIPE)
            except LostOutputError as error:
                echo(f"rtstyle: {error}", err=True)
                sys.exit(error.exit_code)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401
        with _fit_for_terminals():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        try:
            with _fit_for_terminals():
                result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except ReaderGoneError:
            ctx.exit(EXIT_BROKEN_PIPE)
        except KeyboardInterrupt as error:
            _fail(ctx, error, str(error) or "interrupted", EXIT_INTERRUPTED)
        except RtstyleError as error:
            told = _told_of_memory(error)
            _fail(ctx, error, str(told), told.exit_code)
        except ModuleNotFoundError as error:
            _fail(ctx, error, _missing_module(error), 6)
        except Exception as error:
            if caused_by_memory(error):
                lack = out_of_memory(f"while rtstyle {ctx.invoked_subcommand or ''} ran")
                _fail(ctx, error, str(lack), lack.exit_code)
            message = f"unexpected {type(error).__name__}: {error}; run again with --debug"
            _fail(ctx, error, message, 1)
        return result


@contextmanager
def _fit_for_terminals() -> Iterator[None]:
    """Click's own complaints repeat what was typed."""
    try:
        yield
    except click.ClickException as error:
        error.message = shown(error.message, lines=True)  # type: ignore[misc]
        raise


def _told_of_memory(error: RtstyleError) -> RtstyleError:
    """What to say: that memory ran out, where a file or a codec was blamed for it."""
    if isinstance(error, BackendOutOfMemory) or not caused_by_memory(error):
        return error
    return out_of_memory(f"({error})")


def _missing_module(error: ModuleNotFoundError) -> str:
    name = (error.name or "?").partition(".")[0]
    extra = EXTRAS.get(name)
    package = f"rtstyle[{extra}]" if extra else "rtstyle"
    return f'this needs the Python package {name}, which is not there: pip install "{package}"'


def _fail(ctx: click.Context, error: BaseException, message: str, code: int) -> NoReturn:
    if _debug_wanted(ctx):
        echo_traceback(error)
    echo(f"rtstyle: {' '.join(message.splitlines())}", err=True)
    ctx.exit(code)


@click.group(
    cls=RtstyleGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with 'rtstyle demo', then: rtstyle video holiday.mp4 -o painted.mp4",
)
@click.version_option(__version__, prog_name="rtstyle")
def main() -> None:
    """Turn videos and pictures into paintings."""
    # What the library warns of stands in the notes of its reports too; once is enough.
    logging.getLogger("rtstyle").addHandler(logging.NullHandler())


main.params.append(_debug_option())

if __name__ == "__main__":
    main(prog_name="rtstyle")
