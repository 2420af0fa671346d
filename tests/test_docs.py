"""README.md and docs/ name only what exists: files, tests, commands with options, keys, the glossary's nouns."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer

from sweep.cli import app
from sweep.model import Resources, Trial
from sweep.node import command as node_command
from sweep.state.events import Event
from sweep.state.evidence import Attempt
from sweep.state.ledger import UNTIL

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [*PAGES, *(path for name in ("CHANGELOG.md", "CONTRIBUTING.md") if (path := ROOT / name).exists())]

#: The links to pages that do not exist yet. Remove a link from here when its page exists.

#: Whose files are checked.
CHECKED = "sweep|tests|trainer"


def by_name(path: Path) -> str:
    return path.name


def quoted(text: str) -> list[str]:
    """Return the text in backticks outside of code blocks. A line break in it becomes a space."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(part.split()) for part in re.findall(r"`([^`]+)`", prose)]


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table rows below a heading, without the table's head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines[2:]]


# --- links and files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", LINKING, ids=by_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing, f"{page.name} links to files that are not there: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_path_exists(page: Path) -> None:
    words = [word for part in quoted(page.read_text(encoding="utf-8")) for word in part.split()]
    paths = [word.rstrip(",.;:") for word in words if re.match(rf"({CHECKED})/[\w./-]+$", word)]
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing, f"{page.name} names files that are not there: {missing}"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_test_exists(page: Path) -> None:
    """A page may leave out a test's folder, and the end of its name."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    text = " ".join(quoted(page.read_text(encoding="utf-8")))
    modules = re.findall(r"(?:\w+/)*test_\w+\.py", text)
    missing = [name for name in modules if not any(f"/{path}".endswith(f"/{name}") for path in files)]
    functions = re.findall(r"\b(test_\w+)(?!\.py|\w)", text)
    missing += [name for name in functions if f"def {name}" not in code]
    assert not missing, f"{page.name} names tests that are not there: {missing}"


# --- commands ---------------------------------------------------------------------------------------------


def command_lines(text: str) -> Iterator[str]:
    """Yield what follows ``sweep`` in code blocks, comments included, and in backticks."""
    for block in re.findall(r"^```(?:\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line):
                if part.strip().startswith("sweep "):
                    yield part.strip().removeprefix("sweep ")
    for part in quoted(text):
        for command in re.split(r"&&|\|", part):
            if command.strip().startswith("sweep "):
                yield command.strip().removeprefix("sweep ")


def known_options() -> dict[str, set[str]]:
    """Map each command to the options that its help shows; the empty name stands for ``sweep`` itself."""
    group = typer.main.get_command(app)
    commands = {"": group, **getattr(group, "commands", {})}
    return {
        name: {"--help", "-h"}
        | {
            option
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for name, command in commands.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_and_option_is_known(page: Path) -> None:
    options_by_command, unknown = known_options(), []
    for line in command_lines(page.read_text(encoding="utf-8")):
        words = line.split()
        name = (
            next((word for word in words if word in options_by_command), "")
            if words[0].startswith("-")
            else words[0]
        )
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", line))
        if name not in options_by_command or not options <= options_by_command[name] | options_by_command[""]:
            unknown.append(f"sweep {line}")
    assert not unknown, f"{page.name} has commands or options that sweep does not know: {unknown}"


# --- formats.md -------------------------------------------------------------------------------------------


def fields_of(row: list[str]) -> set[str]:
    """Return the fields of the dataclass that the row's last cell names with its file."""
    name, path = quoted(row[-1])
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    return {field.name for field in dataclasses.fields(getattr(module, name))}


#: The keys that a command adds to those of its dataclass, or puts in the place of a field.
ADDED = {
    "retry": {"submitted"},
    "confirm": {"submitted"},
    "extend": {"submitted"},
    "compare": {"rows"},
    "submit --dry-run": {"calls", "trials"},
    "report --next": {"unimportant"},
}
LEFT_OUT = {"compare": {"table"}}


WITH_A_DATACLASS = [row for row in rows("formats.md", "--json") if len(quoted(row[-1])) == 2]


@pytest.mark.parametrize("row", WITH_A_DATACLASS, ids=lambda row: row[0])
def test_the_keys_of_json(row: list[str]) -> None:
    [command] = quoted(row[0])
    keys = fields_of(row) - LEFT_OUT.get(command, set()) | ADDED.get(command, set())
    values = {"ok", "note", "bad"}
    assert set(quoted(row[1])) - values == keys


def test_the_events_of_the_journal() -> None:
    structs = {struct.__struct_config__.tag: struct for struct in Event.__args__}
    listed = {
        name: quoted(keys) for names, keys, _ in rows("formats.md", "journal.jsonl") for name in quoted(names)
    }
    assert listed.keys() == structs.keys()
    for name, keys in listed.items():
        fields = [field.name for field in msgspec.structs.fields(structs[name])]
        of_every_event = {"at", "version"} if name == "planned" else {"at", "version", "format"}
        assert sorted(keys) == sorted({*fields} - of_every_event), name


def test_the_keys_of_a_trial_and_of_an_attempt() -> None:
    trial = {key for keys, *_ in rows("formats.md", "trials.jsonl") for key in quoted(keys)}
    assert trial == {field.name for field in dataclasses.fields(Trial)}
    attempt = {key for keys, *_ in rows("formats.md", "attempt-N.json") for key in quoted(keys)}
    assert attempt == {field.name for field in dataclasses.fields(Attempt)}


@pytest.mark.parametrize(
    ("page", "heading"), [("formats.md", "The variables that a command is given"), ("grid.md", "Expressions")]
)
def test_the_variables_of_a_command(page: str, heading: str) -> None:
    trial = dataclasses.asdict(Trial(0, "0" * 16, {}, 0, 0, Resources(60, 1, 1), ()))
    variables = set(node_command.variables_of_command(trial, 1, "folder", "result.json"))
    long_params = {**trial, "params": {"x": "a" * node_command.MOST_STRING_BYTES}}
    variables |= set(node_command.variables_of_command(long_params, 1, "folder", "result.json"))
    variables.add(UNTIL)  # of an attempt alone, as the decision has it
    listed = {name for row in rows(page, heading) for name in quoted(row[0]) if name.startswith("SWEEP_")}
    assert listed == variables


# --- architecture.md --------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("architecture.md", "The glossary"), ids=lambda row: row[0])
def test_each_noun_is_the_name_in_the_code(row: list[str]) -> None:
    *names, file = quoted(row[-1])
    text = (ROOT / "sweep" / file).read_text(encoding="utf-8")
    for name in names:
        defined = rf"^\s*(class |def |){name.rpartition('.')[2]}\b( =|:|\(|$)"
        assert re.search(defined, text, re.MULTILINE), f"sweep/{file} does not define {name}"
