"""The one expression language: Jinja's, sandboxed, where an undefined name is an error.

It fills in the command, the resources and the exclusions. A command is split into arguments first and
filled in afterwards, so that nothing in a value can become another argument, let alone shell.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sweep.errors import UsageError, nearest

Context = Mapping[str, Any]
T = TypeVar("T")

#: Names that every expression may use beside the parameters.
NAMES = ("params", "replicate", "seed", "trial", "sweep", "env")

#: What no parameter may be called: the names above and the language's own words.
RESERVED = frozenset(
    {*NAMES, "self", "loop", "and", "or", "not", "in", "is", "if", "else", "elif", "endif", "for"}
) | {
    *("endfor", "set", "true", "false", "none", "True", "False", "None"),
}


class ExpressionError(UsageError):
    """An expression does not parse, names what is not there, or fails on the values it meets."""


#: Spells what is no text; kept, as making an encoder takes longer than one value.
_JSON = json.JSONEncoder(ensure_ascii=False)


def text(value: Any) -> str:
    """Spell a value as an argument: a text as it is, anything else as JSON spells it.

    >>> text("a b"), text(0.00005), text(True), text([1, 2])
    ('a b', '5e-05', 'true', '[1, 2]')
    """
    if isinstance(value, str):
        return value
    if type(value) is int:
        return repr(value)
    if isinstance(value, jinja2.Undefined):
        return str(value)  # StrictUndefined raises here
    try:
        return _JSON.encode(value)
    except (TypeError, ValueError):
        raise ExpressionError(f"a {type(value).__name__} cannot become an argument") from None


def flags(params: Mapping[str, Any]) -> list[str]:
    """Spell parameters as long options.

    True is the bare option, False and null leave it out, a list gives several values. A value that
    begins with a dash is joined with ``=``, or the program would take it for an option.

    >>> flags({"learning_rate": 0.01, "blank": True, "augment": False, "weights": [1, 2], "shift": -3})
    ['--learning-rate', '0.01', '--blank', '--weights', '1', '2', '--shift=-3']
    """
    if not isinstance(params, Mapping):
        raise ExpressionError(f"flags takes named values, not a {type(params).__name__}")
    out: list[str] = []
    for name, value in params.items():
        option = _option(name)
        if value is True:
            out.append(option)
        elif isinstance(value, list):
            out += [option, *map(text, value)] if value else []
        elif value is not None and value is not False:
            spelled = text(value)
            out += [f"{option}={spelled}"] if spelled.startswith("-") else [option, spelled]
    return out


@functools.cache
def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=text, keep_trailing_newline=True
    )
    environment.globals = {"range": environment.globals["range"]}
    environment.filters["flags"] = flags
    environment.filters["json"] = _JSON.encode
    return environment


ENVIRONMENT = _environment()

#: ``{{- x -}}``: the signs right inside the braces are Jinja's, not the expression's.
_WHITESPACE_CONTROL = re.compile(r"\A[-+]|[-+]\Z")


class Expression:
    """A bare expression such as ``model == 'UNet'``; calling it gives the value itself.

    Parameters
    ----------
    source : str
        The expression, without ``{{ }}``.
    known : collection of str
        The names it may use.
    """

    def __init__(self, source: str, known: frozenset[str]) -> None:
        self.source = source
        names = _check_names("{{ " + source + " }}", source, known)
        try:
            self._evaluate = ENVIRONMENT.compile_expression(source, undefined_to_none=False)
        except jinja2.TemplateSyntaxError as error:
            raise ExpressionError(f"{source!r} does not parse: {error.message}", _SYNTAX_HINT) from None
        self._remembered = Remembered(names, self._evaluated)

    def __call__(self, context: Context) -> Any:
        """Evaluate it for one trial."""
        return self._remembered(context)

    def _evaluated(self, context: Context) -> Any:
        value = _guarded(self.source, lambda: self._evaluate(**context))
        if isinstance(value, jinja2.Undefined):
            _guarded(self.source, lambda: str(value))
        return value


class Remembered(Generic[T]):
    """Evaluates once for each combination of the values that an expression names, mostly one parameter of eight.

    Expressions have no other input, so the answer is the same. A value is known by being the very same object:
    1, 1.0 and true are equal, and spelled differently.
    """

    #: More combinations than are worth keeping.
    MOST = 10_000

    def __init__(self, names: frozenset[str], evaluate: Callable[[Context], T]) -> None:
        self.names = sorted(names)
        self.evaluate = evaluate
        self.useless = not names.isdisjoint(("params", "trial"))  # different for each trial
        self.kept: dict[tuple[int, ...], tuple[list[Any], T]] = {}

    def __call__(self, context: Context) -> T:
        """Evaluate for one trial, unless that has been done."""
        if self.useless:
            return self.evaluate(context)
        values = [context.get(name) for name in self.names]
        key = tuple(map(id, values))
        if key not in self.kept:
            made = self.evaluate(context)
            if len(self.kept) >= self.MOST:
                return made
            self.kept[key] = (values, made)  # with the values, lest another object takes the id of one
        return self.kept[key][1]


class EachValue(Generic[T]):
    """Makes something of each value of each parameter once: of few values, a grid makes a million trials."""

    def __init__(self, make: Callable[[str, Any], T]) -> None:
        self.make = make
        self.made: dict[tuple[str, int], T] = {}
        self.values: list[Any] = []  # kept, lest another object takes the id of one

    def __call__(self, params: Mapping[str, Any]) -> list[T]:
        """Return what was made of these values, in their order."""
        try:
            return [self.made[name, id(value)] for name, value in params.items()]
        except KeyError:
            for name, value in params.items():
                if (name, id(value)) not in self.made:
                    self.values.append(value)
                    self.made[name, id(value)] = self.make(name, value)
            return self(params)


class Template:
    """A text with expressions in it, such as ``{{ 2 * cpus }}GiB``; calling it gives the text."""

    def __init__(self, source: str, known: frozenset[str]) -> None:
        self.source = source
        self.names = _check_names(source, source, known)
        self._remembered = Remembered(self.names, self._filled)
        self._template = ENVIRONMENT.from_string(source)

    def __call__(self, context: Context) -> str:
        """Fill it in for one trial."""
        return self._remembered(context)

    def _filled(self, context: Context) -> str:
        filled: str = _guarded(self.source, lambda: self._template.render(context))
        return filled


class Command:
    """A command line: split first, filled in afterwards.

    Parameters
    ----------
    command : str or list of str
        A line in shell's quoting (nothing else of the shell's is interpreted), or its arguments.
    known : collection of str
        The names its expressions may use.
    """

    def __init__(self, command: str | list[str], known: frozenset[str]) -> None:
        pieces = split(command) if isinstance(command, str) else command
        if not pieces:
            raise ExpressionError("the command is empty", "write the program and its arguments")
        self._arguments = [_argument(piece, known) for piece in pieces]

    def __call__(self, context: Context) -> tuple[str, ...]:
        """Fill in the arguments for one trial.

        Returns
        -------
        tuple of str
            What the program receives as its argv.
        """
        argv = tuple([filled for argument in self._arguments for filled in argument(context)])
        if "\0" in "".join(argv):
            bad = next(filled for filled in argv if "\0" in filled)
            raise ExpressionError(f"the argument {bad!r} has a NUL byte, which no program can receive")
        if not argv or not argv[0]:
            raise ExpressionError("the command's first word, the program, is filled in with nothing")
        return argv


def split(command: str) -> list[str]:
    r"""Split a command line as a POSIX shell does, each ``{{ … }}`` one unbreakable piece.

    >>> split("python -m t {{ params | flags }} --note 'a {{ \"b c\" }}'")
    ['python', '-m', 't', '{{ params | flags }}', '--note', 'a {{ "b c" }}']
    """
    if "\0" in command:
        raise ExpressionError("the command has a NUL byte", "no program can receive one")
    kept: list[str] = []
    masked = ""
    for piece, is_expression in _pieces(command):
        if is_expression:
            masked += f"\0{len(kept)}\0"
            kept.append(piece)
        else:
            masked += piece
    try:
        words = shlex.split(_joined(masked))
    except ValueError as error:
        raise ExpressionError(f"the command does not split into arguments: {error}", "close the quote") from None
    return [_unmask(word, kept) for word in words]


#: A single-quoted part, a double-quoted part, an escaped character, any other.
_SHELL_PIECE = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|.""", re.DOTALL)


def _joined(line: str) -> str:
    """Join lines that end with a backslash, as a shell does outside of single quotes, and shlex does not."""
    pieces = _SHELL_PIECE.findall(line)
    return "".join(piece if piece.startswith("'") else piece.replace("\\\n", "") for piece in pieces)


def _unmask(word: str, kept: list[str]) -> str:
    parts = word.split("\0")
    return "".join(kept[int(part)] if index % 2 else part for index, part in enumerate(parts))


def _pieces(source: str) -> list[tuple[str, bool]]:
    """Cut a text into (piece, is it an expression or statement)."""
    if "{" not in source:
        return [(source, False)]  # the lexer would make a carriage return a newline
    try:
        tokens = list(ENVIRONMENT.lex(source))
    except jinja2.TemplateSyntaxError as error:
        raise ExpressionError(f"{source!r} does not parse: {error.message}", _SYNTAX_HINT) from None
    out: list[tuple[str, bool]] = []
    for _, kind, piece in tokens:
        inside = kind != "data"
        if inside and out and out[-1][1] and not kind.endswith("_begin"):
            out[-1] = (out[-1][0] + piece, True)
        else:
            out.append((piece, inside))
    return out


def _argument(piece: str, known: frozenset[str]) -> Callable[[Context], list[str]]:
    parts = _pieces(piece)
    if not any(is_expression for _, is_expression in parts):
        same = [piece]
        return lambda context: same  # noqa: ARG005 - whatever the trial
    if len(parts) == 1 and piece.startswith("{{"):
        source = _WHITESPACE_CONTROL.sub("", piece[2:-2])
        if _ALL_FLAGS.fullmatch(source):
            return _AllFlags()
        expression = Expression(source, known)
        return lambda context: _as_arguments(expression(context))
    template = Template(piece, known)
    return lambda context: [sys.intern(template(context))]


def _as_arguments(value: Any) -> list[str]:
    # A million trials have a hundred different arguments: one object each.
    return [sys.intern(text(item)) for item in (value if isinstance(value, list | tuple) else [value])]


#: ``params | flags`` as an expression.
_ALL_FLAGS = re.compile(r"\s*params\s*\|\s*flags\s*")


class _AllFlags:
    """What nearly every grid's command says, each value of each parameter spelled once."""

    def __init__(self) -> None:
        self.spelled = EachValue(lambda name, value: [*map(sys.intern, flags({name: value}))])

    def __call__(self, context: Context) -> list[str]:
        return [argument for spelled in self.spelled(context["params"]) for argument in spelled]


_SYNTAX_HINT = "expressions are Jinja's, such as {{ learning_rate }} or model == 'UNet'"


def _check_names(template: str, shown: str, known: frozenset[str]) -> frozenset[str]:
    """Return the names that a template uses; ExpressionError if one is not known."""
    try:
        used = meta.find_undeclared_variables(ENVIRONMENT.parse(template))
    except jinja2.TemplateSyntaxError as error:
        raise ExpressionError(f"{shown!r} does not parse: {error.message}", _SYNTAX_HINT) from None
    for name in sorted(used - known - set(ENVIRONMENT.globals)):
        raise ExpressionError(f"{shown!r} names {name!r}, which is no parameter", nearest(name, known))
    return frozenset(used)


def _guarded(source: str, evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except ExpressionError:
        raise
    except jinja2.UndefinedError as error:
        raise ExpressionError(f"{source!r}: {error.message}", "name only what is there") from None
    except Exception as error:  # a person's expression may fail in any way Python knows
        raise ExpressionError(f"{source!r} fails: {type(error).__name__}: {error}") from None
