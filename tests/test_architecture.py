"""The rules of imports, and which files may start processes or touch the sweep's folder."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from sweep.schedulers import SCHEDULERS
from tests.drawing import drawing

ROOT = Path(__file__).parent.parent

#: The layers, the lowest first; a module imports only from its own layer and those below.
LAYERS = [
    {"errors", "clock", "visible"},
    {"model"},
    {"grid", "jobs", "state", "race", "leaderboard", "schedulers"},
    {"shell", "server", "store", "node"},
    {"steps"},
    {"verbs"},
    {"report"},
    {"cli", "__main__", "__init__"},
]

#: A program of its own on the far side of the seam, as slurmctld is.
APART = {"localbatch"}


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere in it."""
    return imported_by(ast.parse(path.read_text(encoding="utf-8")))


def imported_by(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
            names.add(node.module)
    return names


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def part(path: Path) -> str:
    return path.relative_to(ROOT / "sweep").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", files("sweep"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    rank = {name: level for level, names in enumerate(LAYERS) for name in names}
    mine = part(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("sweep.")}
    if mine in APART:  # what runs on a node stands alone, too
        assert used <= {mine, "node"}
        return
    for name in used - {"__version__"}:
        assert rank[name] <= rank[mine], f"{path.name} ({mine}) imports {name}"


#: The trainer's own layers, the lowest first. A room imports from itself and from the rooms below it.
TRAINER = [
    {"errors", "classes"},
    {"files", "scale"},
    {"data", "network", "scoring"},
    {"training"},
    {"folders"},
    {"cli"},
    {"__main__"},
]


@pytest.mark.parametrize("path", files("trainer"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_trainers_imports_point_downwards(path: Path) -> None:
    rank = {name: level for level, names in enumerate(TRAINER) for name in names}
    mine = path.relative_to(ROOT / "trainer").parts[0].removesuffix(".py")
    used = {name.split(".")[1] for name in imports(path) if name.startswith("trainer.")}
    for name in used - {mine}:
        assert rank[name] < rank[mine], f"{path.name} ({mine}) imports {name}"


def test_no_file_of_the_trainer_shadows_the_standard_library() -> None:
    names = {path.stem for path in files("trainer")} | {path.parent.name for path in files("trainer")}
    assert not names & (sys.stdlib_module_names - {"__main__"})


@pytest.mark.parametrize("folder", ["", "sweep", "trainer"])
@pytest.mark.parametrize("files", [False, True], ids=["folders", "files"])
def test_no_rooms_import_each_other(folder: str, files: bool) -> None:
    """``python -m tests.drawing`` shows it; there is no exception, and none is to come."""
    assert drawing(ROOT, folder, files=files).circles == []


def test_the_trainer_imports_tensorflow_when_it_trains_and_not_before() -> None:
    for path in files("trainer"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"tensorflow", "keras"}, path
    decoding = {
        path.stem for path in files("trainer") if imports(path) & {"tifffile", "imageio.v3", "PIL", "skimage.io"}
    }
    assert decoding == {"images"}


def test_trainer_and_sweep_never_import_each_other() -> None:
    for path in files("trainer"):
        assert not any(name.split(".")[0] == "sweep" for name in imports(path)), path
    for path in files("sweep"):
        assert not any(name.split(".")[0] == "trainer" for name in imports(path)), path


def test_one_file_starts_processes() -> None:
    starting = {
        part(path)
        for path in files("sweep")
        if "subprocess" in imports(path) or "os.fork(" in path.read_text(encoding="utf-8")
    }
    # All but the first run elsewhere, in the processes that are started.
    assert starting == {"shell", "node", "localbatch"}


def test_the_core_knows_no_scheduler_by_name() -> None:
    """What differs between schedulers is a fact of the scheduler's own class."""
    names = {*SCHEDULERS, *(client for scheduler in SCHEDULERS.values() for client in scheduler.clients)}
    for path in files("sweep"):
        if part(path) in {"schedulers", *APART}:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not names & {value for value in constants if isinstance(value, str)}, path


def test_schedulers_open_no_file_and_start_no_process() -> None:
    banned = {"subprocess", "os", "pathlib", "shutil", "socket", "tempfile", "io"}
    for path in files("sweep/schedulers"):
        assert not banned & {name.split(".")[0] for name in imports(path)}, path
        assert "open(" not in path.read_text(), path


#: What draws may not import: these modules start processes, or read and write files.
IO_MODULES = {"sweep.store", "sweep.shell", "sweep.node", "subprocess", "os", "shutil", "pathlib"}

#: What draws knows these by their types alone, and calls none of their functions: it decides and computes nothing.
KNOWN_BY_TYPE = {"sweep.leaderboard", "sweep.steps", "sweep.verbs"}

#: What draws may not call, whatever it is called on.
IO_CALLS = {"open", "print", "sleep", "write_text", "write_bytes", "read_bytes"}


@pytest.mark.parametrize("path", files("sweep/report"), ids=lambda path: path.name)
def test_report_draws_and_does_no_io(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = imports(path)
    for module in IO_MODULES:
        assert not {name for name in imported if name == module or name.startswith(f"{module}.")}
    assert "time.sleep" not in imported
    for node in type_checking_blocks(tree):
        node.body = [ast.Pass()]
    for module in KNOWN_BY_TYPE:
        assert not {name for name in imported_by(tree) if name == module or name.startswith(f"{module}.")}
    for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
        name = called_name(call)
        assert name not in IO_CALLS, f"{path.name}:{call.lineno} calls {name}"
        if name == "read_text":  # of a file inside an installed package
            assert receiver(call) == "files", f"{path.name}:{call.lineno} reads a file"
            assert "importlib.resources.files" in imported


@pytest.mark.parametrize("path", files("sweep/cli"), ids=lambda path: path.name)
def test_the_command_line_ranks_and_analyses_nothing(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith("sweep.leaderboard")}


def type_checking_blocks(tree: ast.Module) -> list[ast.If]:
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]


def called_name(call: ast.Call) -> str:
    """Return the last name of what is called: ``read_text`` of ``files("x").joinpath("y").read_text()``."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def receiver(call: ast.Call) -> str:
    """Return the first name of a chain of calls: ``files`` of ``files("x").joinpath("y").read_text()``."""
    node: ast.expr = call
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_only_the_store_knows_the_folders_file_names() -> None:
    for path in files("sweep"):
        if part(path) in ("store", "node"):
            continue
        text = path.read_text(encoding="utf-8")
        code = {
            n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        for name in ("journal.jsonl", "trials.jsonl", "attempt-1.json", ".lock"):
            assert name not in code, f"{path} names {name}"


#: Asking for the time, or waiting.
OF_THE_CLOCK = {"time.time", "time.monotonic", "time.sleep", "time.time_ns"}


def test_one_clock_says_what_time_it_is() -> None:
    """The shell's time-outs are those of real processes; nodes and the local queue stand apart."""
    for path in files("sweep"):
        if part(path) in {"clock", "shell", "node", *APART}:
            continue
        calls = {
            ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        }
        assert not calls & OF_THE_CLOCK, path


def test_files_and_functions_stay_short() -> None:
    for path in files("sweep") + files("trainer"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 520, f"{path} is long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 70, f"{path}: {node.name} is long"


ON_NODES = {
    "node",
    "runner",
    "fitness",
    "stop",
    "claim",
    "command",
    "processes",
    "bystander",
    "worker",
    "keeper",
    "preload",
}


@pytest.mark.parametrize("name", sorted(f"{part}.py" for part in ON_NODES))
def test_what_runs_on_a_node_is_python_3_6_and_standard_library_alone(name: str) -> None:
    text = (ROOT / "sweep" / "node" / name).read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 6))
    used = {module.split(".")[0] for module in imports(ROOT / "sweep" / "node" / name)} - ON_NODES - {"sweep"}
    assert used <= set(sys.stdlib_module_names)
    for newer in (":=", "capture_output", "from __future__", "removeprefix", "f'", 'f"'):
        assert newer not in text, f"{newer} is not for Python 3.6"


def test_the_help_names_every_command() -> None:
    from sweep.cli import app
    from sweep.cli.common import GROUPS

    listed = [name for names in GROUPS.values() for name in names]
    assert sorted(listed) == sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['sweep', '--help']\nfrom sweep.cli import app\ntry: app()\nexcept SystemExit: pass\n"
    code += "print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert not loaded & {
        "pandas",
        "numpy",
        "tensorflow",
        "pydantic",
        "ruamel.yaml",
        "jinja2",
        "rich",
        "skimage",
        "scipy",
        "sklearn",
        "plotly",
    }


#: Calls that read or write the disk, or start a process.
OUTSIDE = {
    *("open", "is_dir", "is_file", "exists", "stat", "scandir", "listdir", "iterdir", "glob", "getsize", "getcwd"),
    *("read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "touch", "chmod", "absolute"),
    *("resolve", "get_template", "fork", "run", "Popen", "sleep", "ledger", "trials", "unfit_nodes"),
}


@pytest.mark.parametrize("path", files("sweep"), ids=lambda path: str(path.relative_to(ROOT)))
def test_constructors_do_nothing(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name in {"__init__", "__post_init__"}:
            functions = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
            names = {
                func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in functions
            }
            assert not names & OUTSIDE, f"line {node.lineno}"


def test_only_its_own_file_changes_a_ledger() -> None:
    """Once it is added up, the ledger is a fact like the others."""
    for path in files("sweep"):
        if path.name == "ledger.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
            targets += [node.target] if isinstance(node, ast.AugAssign) else []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                changes = {"append", "update", "pop", "setdefault", "clear", "add", "extend", "judge_again"}
                targets += [node.func.value] if node.func.attr in changes else []
            changed = [ast.unparse(target) for target in targets]
            assert not [each for each in changed if "ledger." in each], path
