"""The expression language: Jinja's, in a sandbox. An undefined name is an error.

The command, the resources and the exclusions have expressions. A command is split into arguments first and filled
in afterwards, so that no value can become another argument or be interpreted by a shell.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sweep.errors import UsageError, nearest

Context = Mapping[str, Any]
T = TypeVar("T")

#: Names that every expression may use beside the parameters.
NAMES = ("params", "replicate", "seed", "trial", "sweep", "env")

#: Names that no parameter may have: those above, and the keywords of the language.
RESERVED = frozenset(
    {*NAMES, "self", "loop", "and", "or", "not", "in", "is", "if", "else", "elif", "endif", "for"}
) | {
    *("endfor", "set", "true", "false", "none", "True", "False", "None"),
}


class UsedVariables(Mapping[str, str]):
    """The environment as expressions read it. It notes what they have read.

    >>> variables = UsedVariables({"HOME": "/home/eve", "LANG": "C"})
    >>> variables["HOME"], variables.get("DATA", "."), variables.used
    ('/home/eve', '.', {'HOME': '/home/eve'})
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.used: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        value = self.used[name] = self._environment[name]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._environment)

    def __len__(self) -> int:
        return len(self._environment)


class ExpressionError(UsageError):
    """An expression does not parse, uses an undefined name, or fails on a trial's values."""


#: One encoder for all values: to make an encoder takes longer than to encode a value.
_JSON = json.JSONEncoder(ensure_ascii=False)


def text(value: Any) -> str:
    """Spell a value as an argument: a text unchanged, any other value as JSON.

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

    True is the option without a value. False and null leave the option out. A list gives several values. A value
    that begins with a dash is joined with ``=``, because the program would take it for an option.

    >>> flags({"learning_rate": 0.01, "blank": True, "augment": False, "weights": [1, 2], "shift": -3})
    ['--learning-rate', '0.01', '--blank', '--weights', '1', '2', '--shift=-3']
    """
    if not isinstance(params, Mapping):
        raise ExpressionError(f"flags takes named values, not a {type(params).__name__}")
    arguments: list[str] = []
    for name, value in params.items():
        option = _option(name)
        if value is True:
            arguments.append(option)
        elif isinstance(value, list):
            arguments += [option, *map(text, value)] if value else []
        elif value is not None and value is not False:
            argument = text(value)
            arguments += [f"{option}={argument}"] if argument.startswith("-") else [option, argument]
    return arguments


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

#: Names of the language itself, unless a parameter has them.
LANGUAGE = frozenset(ENVIRONMENT.globals)

#: The same language without those names: jinja2.meta leaves them out, and a parameter may have one.
_NAMELESS = ENVIRONMENT.overlay()
_NAMELESS.globals = {}

#: In ``{{- x -}}``, the signs next to the braces belong to Jinja, not to the expression.
_WHITESPACE_CONTROL = re.compile(r"\A[-+]|[-+]\Z")


class Expression:
    """An expression such as ``model == 'UNet'``. A call returns its value for one trial.

    Parameters
    ----------
    source : str
        The expression, without ``{{ }}``.
    allowed : collection of str
        The names it may use.
    """

    def __init__(self, source: str, allowed: frozenset[str]) -> None:
        self.source = source
        names = _check_names("{{ " + source + " }}", source, allowed)
        try:
            self._evaluate = ENVIRONMENT.compile_expression(source, undefined_to_none=False)
        except jinja2.TemplateSyntaxError as error:
            raise ExpressionError(f"{source!r} does not parse: {error.message}", _SYNTAX_HINT) from None
        self._memoized = Memoized(names, self._evaluated)

    def __call__(self, context: Context) -> Any:
        """Evaluate it for one trial."""
        return self._memoized(context)

    def _evaluated(self, context: Context) -> Any:
        value = _evaluate_safely(self.source, lambda: self._evaluate(**context))
        if isinstance(value, jinja2.Undefined):
            _evaluate_safely(self.source, lambda: str(value))
        return value


def names_in(source: str) -> frozenset[str]:
    """Return the names that an expression uses. ExpressionError if it does not parse.

    >>> sorted(names_in("model == 'UNet' and lr in range(3)"))
    ['lr', 'model', 'range']
    """
    return _names_of("{{ " + source + " }}", source)


class Memoized(Generic[T]):
    """Evaluates once for each combination of the values that an expression names.

    Most expressions name one parameter of many, and have no other input. Values are compared by identity,
    because 1, 1.0 and true are equal and are spelled differently.
    """

    #: The largest number of combinations to keep.
    MAX_ENTRIES = 10_000

    def __init__(self, names: frozenset[str], evaluate: Callable[[Context], T]) -> None:
        self.names = sorted(names)
        self.evaluate = evaluate
        self.always_new = not names.isdisjoint(("params", "trial"))  # these differ in each trial
        self.entries: dict[tuple[int, ...], tuple[list[Any], T]] = {}

    def __call__(self, context: Context) -> T:
        """Evaluate for one trial, or return the value of an earlier trial with the same values."""
        if self.always_new:
            return self.evaluate(context)
        values = [context.get(name) for name in self.names]
        key = tuple(map(id, values))
        if key not in self.entries:
            result = self.evaluate(context)
            if len(self.entries) >= self.MAX_ENTRIES:
                return result
            self.entries[key] = (values, result)  # keeps the values alive, so that no other object gets their ids
        return self.entries[key][1]


class PerValue(Generic[T]):
    """Calls a function once for each value of each parameter. A million trials of a grid share few values."""

    def __init__(self, function: Callable[[str, Any], T]) -> None:
        self.function = function
        self.results: dict[tuple[str, int], T] = {}
        self.values: list[Any] = []  # keeps the values alive, so that no other object gets their ids

    def __call__(self, params: Mapping[str, Any]) -> list[T]:
        """Return the function's result for each of these values, in their order."""
        try:
            return [self.results[name, id(value)] for name, value in params.items()]
        except KeyError:
            for name, value in params.items():
                if (name, id(value)) not in self.results:
                    self.values.append(value)
                    self.results[name, id(value)] = self.function(name, value)
            return self(params)


class Template:
    """A text with expressions in it, such as ``{{ 2 * cpus }}GiB``. A call returns the text for one trial."""

    def __init__(self, source: str, allowed: frozenset[str]) -> None:
        self.source = source
        self.names = _check_names(source, source, allowed)
        self._memoized = Memoized(self.names, self._filled)
        self._template = ENVIRONMENT.from_string(source)

    def __call__(self, context: Context) -> str:
        """Fill it in for one trial."""
        return self._memoized(context)

    def _filled(self, context: Context) -> str:
        filled: str = _evaluate_safely(self.source, lambda: self._template.render(context))
        return filled


class Command:
    """A command line: split first, filled in afterwards.

    Parameters
    ----------
    command : str or list of str
        A line with a shell's quoting, or its arguments. Nothing else of a shell's language is interpreted.
    allowed : collection of str
        The names its expressions may use.
    """

    def __init__(self, command: str | list[str], allowed: frozenset[str]) -> None:
        pieces = split(command) if isinstance(command, str) else command
        if not pieces:
            raise ExpressionError("the command is empty", "write the program and its arguments")
        self._arguments = [_argument(piece, allowed) for piece in pieces]

    def __call__(self, context: Context) -> tuple[str, ...]:
        """Fill in the arguments for one trial.

        Returns
        -------
        tuple of str
            What the program receives as its argv.
        """
        argv = tuple([filled for argument in self._arguments for filled in argument(context)])
        if "\0" in "".join(argv):
            argument = next(argument for argument in argv if "\0" in argument)
            raise ExpressionError(f"the argument {argument!r} has a NUL byte, which no program can receive")
        if not argv or not argv[0]:
            raise ExpressionError("the command's first word, which names the program, is empty once filled in")
        return argv


def split(command: str) -> list[str]:
    r"""Split a command line as a POSIX shell does. No split is inside ``{{ … }}``.

    >>> split("python -m t {{ params | flags }} --note 'a {{ \"b c\" }}'")
    ['python', '-m', 't', '{{ params | flags }}', '--note', 'a {{ "b c" }}']
    """
    if "\0" in command:
        raise ExpressionError("the command has a NUL byte", "no program can receive one")
    expressions: list[str] = []
    masked = ""
    for piece, is_expression in _pieces(command):
        if is_expression:
            masked += f"\0{len(expressions)}\0"
            expressions.append(piece)
        else:
            masked += piece
    try:
        words = shlex.split(_joined(masked))
    except ValueError as error:
        raise ExpressionError(f"the command does not split into arguments: {error}", "close the quote") from None
    return [_unmask(word, expressions) for word in words]


#: A single-quoted part, a double-quoted part, an escaped character, any other.
_SHELL_PIECE = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.|.""", re.DOTALL)


def _joined(line: str) -> str:
    """Join lines that end with a backslash, outside of single quotes. A shell does so, and shlex does not."""
    pieces = _SHELL_PIECE.findall(line)
    return "".join(piece if piece.startswith("'") else piece.replace("\\\n", "") for piece in pieces)


def _unmask(word: str, expressions: list[str]) -> str:
    """Put the expressions back: every second part is the number of one."""
    parts = word.split("\0")
    return "".join(expressions[int(part)] if index % 2 else part for index, part in enumerate(parts))


def _pieces(source: str) -> list[tuple[str, bool]]:
    """Cut a text into (piece, whether it is an expression or statement)."""
    if "{" not in source:
        return [(source, False)]  # the lexer would turn a carriage return into a newline
    try:
        tokens = list(ENVIRONMENT.lex(source))
    except jinja2.TemplateSyntaxError as error:
        raise ExpressionError(f"{source!r} does not parse: {error.message}", _SYNTAX_HINT) from None
    pieces: list[tuple[str, bool]] = []
    for _, kind, token in tokens:
        inside = kind != "data"
        if inside and pieces and pieces[-1][1] and not kind.endswith("_begin"):
            pieces[-1] = (pieces[-1][0] + token, True)
        else:
            pieces.append((token, inside))
    return pieces


def _argument(piece: str, allowed: frozenset[str]) -> Callable[[Context], list[str]]:
    """Return the function that fills in one word of the command: one argument, or several."""
    parts = _pieces(piece)
    if not any(is_expression for _, is_expression in parts):
        constant = [piece]
        return lambda context: constant  # noqa: ARG005 - it is the same for every trial
    if len(parts) == 1 and piece.startswith("{{"):
        source = _WHITESPACE_CONTROL.sub("", piece[2:-2])
        if _ALL_FLAGS.fullmatch(source):
            return _AllFlags()
        expression = Expression(source, allowed)
        return lambda context: _as_arguments(expression(context))
    template = Template(piece, allowed)
    return lambda context: [sys.intern(template(context))]


def _as_arguments(value: Any) -> list[str]:
    # A million trials have about a hundred different arguments. Equal ones share an object.
    return [sys.intern(text(item)) for item in (value if isinstance(value, list | tuple) else [value])]


#: ``params | flags`` as an expression.
_ALL_FLAGS = re.compile(r"\s*params\s*\|\s*flags\s*")


class _AllFlags:
    """Fills in ``{{ params | flags }}``. Nearly every command has it, so each value is spelled once."""

    def __init__(self) -> None:
        self.flags_of = PerValue(lambda name, value: [*map(sys.intern, flags({name: value}))])

    def __call__(self, context: Context) -> list[str]:
        return [argument for arguments in self.flags_of(context["params"]) for argument in arguments]


_SYNTAX_HINT = "write an expression of Jinja's, such as {{ learning_rate }} or model == 'UNet'"


def _check_names(template: str, shown: str, allowed: frozenset[str]) -> frozenset[str]:
    """Return the names that a template uses. ExpressionError if one is not allowed. `shown` is for the message."""
    used = _names_of(template, shown)
    for name in sorted(used - allowed - LANGUAGE):
        raise ExpressionError(f"{shown!r} names {name!r}, which is no parameter", nearest(name, allowed))
    return used


def _names_of(template: str, shown: str) -> frozenset[str]:
    """Return the names that a template uses."""
    try:
        used = meta.find_undeclared_variables(_NAMELESS.parse(template))
    except jinja2.TemplateSyntaxError as error:
        raise ExpressionError(f"{shown!r} does not parse: {error.message}", _SYNTAX_HINT) from None
    return frozenset(used)


def _evaluate_safely(source: str, evaluate: Callable[[], Any]) -> Any:
    try:
        return evaluate()
    except ExpressionError:
        raise
    except jinja2.UndefinedError as error:
        raise ExpressionError(f"{source!r}: {error.message}", "use only names and attributes that exist") from None
    except Exception as error:  # a person's expression may raise any exception
        raise ExpressionError(f"{source!r} fails: {type(error).__name__}: {error}") from None
