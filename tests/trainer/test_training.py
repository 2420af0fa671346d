"""A whole training, run as a sweep runs it."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
from skimage import io

from tests.conftest import ROOT, Sandbox
from tests.trainer.conftest import Trainer
from trainer.errors import InputError, TrainerError
from trainer.files import cache
from trainer.scoring.seg import miscount
from trainer.training import setting, writer
from trainer.training.checkpoint import Progress
from trainer.training.loop import TrainingLoop
from trainer.training.options import Options, check
from trainer.training.result import Result, schema, write_result

SCHEMA = ROOT / "docs" / "segmeasure.schema.json"
SMALL = ["--batch-size", 8, "--width", 4, "--threads", 1, "--learning-rate", 0.01]


@pytest.fixture
def large(sandbox: Sandbox, trainer: Trainer) -> Path:
    trainer("data", "synth", "set", "--count", 8, "--rows", 128, "--columns", 128)
    return sandbox.path / "set"


def read_result(folder: Path, name: str = "r.json") -> Any:
    content = json.loads(
        (folder / name).read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the result")
    )
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    return content


def test_it_learns_scores_and_says_what_it_did(sandbox: Sandbox, trainer: Trainer, large: Path) -> None:
    options = ["--data", large, "--epochs", 25, "--batch-size", 8, "--width", 8, "--learning-rate", 0.01,
               "--threads", 1, "--seed", 4]  # fmt: skip
    ran = trainer("train", *options, "--out", "r.json", "--save-model", "m.npz")
    result = read_result(sandbox.path)
    assert result["complete"] is True
    assert result["segMeasure"] == result["validation"]["segMeasure"]
    assert result["objective_on"] == "validation"
    # Untrained it is 0; the bound is far below what it reaches (0.6 to 0.8), and far above chance.
    assert result["test"]["segMeasure"] > 0.4
    losses = [epoch["loss"] for epoch in result["history"]]
    assert len(losses) == result["epochs_done"] == 25
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    used = [result["data"][part] for part in ("train", "validation", "test")]
    assert sorted(itertools.chain.from_iterable(used)) == sorted(
        path.name for path in (large / "images").iterdir()
    )
    assert (result["threads"], result["parameters"]["width"], result["seed"]) == (1, 8, 4)
    assert result["peak_memory_bytes"] > 2**28
    assert result["versions"]["keras"]
    assert {"prepare", "import", "first step", "steps", "predict", "score"} <= set(result["seconds"])
    # Found is nothing smaller than what the masks have. How many were found is said beside how many there are.
    masks = {path.stem: io.imread(path) for path in (large / "masks").iterdir()}
    known = [masks[Path(name).stem] for part in ("train", "validation") for name in result["data"][part]]
    assert result["decision"]["least_px"] == min(np.bincount(mask.ravel())[1:].min() for mask in known)
    counts = [f"{part['found']} found, {part['objects']} true" for part in (result["validation"], result["test"])]
    assert f"(validation: {counts[0]})" in ran.out.splitlines()[-1]
    assert f"(test: {counts[1]})" in ran.out.splitlines()[-1]
    miscounted = [
        part for part in ("validation", "test") if miscount(result[part]["objects"], result[part]["found"])
    ]
    assert sum("nuclei are found in the" in warning for warning in result["warnings"]) == len(miscounted)
    assert ran.out.count("epoch ") == 25
    for word in ("loss", "segMeasure", "images/s", "s left"):
        assert word in ran.out.splitlines()[0]
    assert not (sandbox.path / "r.json.checkpoint.npz").exists()
    # The same seed and threads in another process: the same weights, bit for bit.
    trainer("train", *options, "--out", "again.json", "--save-model", "again.npz")
    again = read_result(sandbox.path, "again.json")
    assert [epoch["loss"] for epoch in again["history"]] == losses
    assert (again["test"], again["decision"]) == (result["test"], result["decision"])
    assert weights(sandbox.path / "m.npz") == weights(sandbox.path / "again.npz")


def weights(path: Path) -> dict[str, bytes]:
    with np.load(path) as file:
        return {name: file[name].tobytes() for name in file.files if name != "about"}


#: Sends the training a signal at a known point: before the second step after so many complete epochs.
INTERRUPTED = """
import os, sys
from trainer import cli
from trainer.training.loop import TrainingLoop

epochs, number = int(sys.argv[1]), int(sys.argv[2])
set_rate = TrainingLoop._set_rate

def interrupt(loop):
    if (loop.progress.epoch, loop.progress.batch) == (epochs, 1):
        os.kill(os.getpid(), number)
    set_rate(loop)

TrainingLoop._set_rate = interrupt
sys.argv = ["trainer", *sys.argv[3:]]
cli.main()
"""


def interrupted(sandbox: Sandbox, options: list[object], number: int, epochs: int) -> int:
    """Start a training, interrupt it by a signal in the epoch after `epochs`, and return its exit code."""
    words = [str(word) for word in (epochs, number, *options)]
    ran = sandbox.run(sys.executable, "-c", INTERRUPTED, *words, timeout_s=290)
    assert f"epoch {epochs}/" in ran.out
    assert f"epoch {epochs + 1}/" not in ran.out
    assert "Traceback" not in ran.err
    return ran.code


@pytest.mark.parametrize(
    "more",
    [
        ["--on-the-fly", "full", "--schedule", "cosine", "--ema", 0.9],
        ["--keep", "best", "--schedule", "plateau", "--optimizer", "sgd", "--threads", 2, "--ema", 0.5],
    ],
)
def test_an_interrupted_training_ends_with_the_same_weights(
    sandbox: Sandbox, trainer: Trainer, large: Path, own_cache: Path, more: list[object]
) -> None:
    options: list[object] = ["train", "--data", large, "--epochs", 20, *SMALL, *more]
    sandbox.env["TRAINER_CACHE"] = str(own_cache)
    trainer(*options, "--out", "whole.json", "--save-model", "whole.npz")
    options += ["--out", "r.json", "--save-model", "r.npz"]
    assert interrupted(sandbox, options, signal.SIGTERM, 3) == 75
    partial = read_result(sandbox.path)
    assert (partial["complete"], partial["test"]) == (False, None)
    assert partial["segMeasure"] == partial["history"][-1]["segMeasure"]
    assert len(partial["history"]) == partial["epochs_done"] == 3
    assert interrupted(sandbox, options, signal.SIGKILL, 6) == -9
    assert (sandbox.path / "r.json.checkpoint.npz").is_file()
    ran = trainer(*options)
    assert "going on after epoch 6, batch 0" in ran.out  # after a kill, from the last complete epoch
    assert weights(sandbox.path / "r.npz") == weights(sandbox.path / "whole.npz")
    whole, result = read_result(sandbox.path, "whole.json"), read_result(sandbox.path)
    assert result["resumed"] == 2
    assert [epoch["loss"] for epoch in result["history"]] == [epoch["loss"] for epoch in whole["history"]]
    assert (result["test"], result["kept_epoch"]) == (whole["test"], whole["kept_epoch"])
    files = sorted(path.name for path in sandbox.path.iterdir())
    assert files == ["r.json", "r.npz", "set", "whole.json", "whole.npz"]


def test_the_average_of_the_weights_is_kept_and_does_not_steer_the_training(
    sandbox: Sandbox, trainer: Trainer, large: Path
) -> None:
    options: list[object] = ["train", "--data", large, "--epochs", 2, *SMALL]
    trainer(*options, "--out", "plain.json", "--save-model", "plain.npz")
    trainer(*options, "--out", "r.json", "--save-model", "r.npz", "--ema", 0.9)
    plain, averaged = read_result(sandbox.path, "plain.json"), read_result(sandbox.path)
    assert [epoch["loss"] for epoch in averaged["history"]] == [epoch["loss"] for epoch in plain["history"]]
    assert weights(sandbox.path / "r.npz").keys() == weights(sandbox.path / "plain.npz").keys()
    assert weights(sandbox.path / "r.npz") != weights(sandbox.path / "plain.npz")


def test_the_average_follows_its_formula() -> None:
    """mean ← decay · mean + (1 − decay) · weights; early the decay is (1 + step) / (10 + step)."""

    class Variable:
        def __init__(self, *values: float) -> None:
            self.values = np.array(values, np.float32)

        def numpy(self) -> Any:
            return self.values

    loop = object.__new__(TrainingLoop)
    loop.options = Options(data=Path("d"), ema=0.9)
    loop.network = SimpleNamespace(variables=[Variable(0.0, 0.0)])
    loop.steps_an_epoch, loop.progress = 3, Progress(rate=1.0)
    loop.average = [np.array([1.0, 8.0], np.float32)]
    loop.progress.batch = 1
    loop._move_average()
    np.testing.assert_allclose(loop.average[0], np.array([1.0, 8.0]) * 2 / 11, rtol=1e-6)
    loop.progress.epoch = 100  # step 301: (1 + 301) / (10 + 301) is above 0.9
    loop._move_average()
    np.testing.assert_allclose(loop.average[0], np.array([1.0, 8.0]) * 2 / 11 * 0.9, rtol=1e-6)


def test_a_training_that_stops_on_the_way_ends_with_the_same_weights(
    sandbox: Sandbox, trainer: Trainer, large: Path, own_cache: Path
) -> None:
    sandbox.env["TRAINER_CACHE"] = str(own_cache)
    options: list[object] = ["train", "--data", large, "--epochs", 4, *SMALL, "--schedule", "cosine"]
    trainer(*options, "--out", "whole.json", "--save-model", "whole.npz")
    options += ["--out", "r.json", "--save-model", "r.npz"]
    sandbox.env["SWEEP_UNTIL"] = "2"
    for _ in range(2):
        ran = trainer(*options, code=75)
        assert "stopped after epoch 2, as asked" in ran.err
        result = read_result(sandbox.path)
        assert (len(result["history"]), result["complete"]) == (2, False)
        (sandbox.path / "r.json").unlink()  # as sweep does before an attempt
    sandbox.env["SWEEP_UNTIL"] = "4"
    trainer(*options)
    assert read_result(sandbox.path)["complete"]
    assert weights(sandbox.path / "r.npz") == weights(sandbox.path / "whole.npz")
    sandbox.env["SWEEP_UNTIL"] = "9"
    assert "the cosine schedule ends after 4" in trainer(*options, code=2).err


def test_an_ended_training_goes_on_for_longer(
    sandbox: Sandbox, trainer: Trainer, large: Path, own_cache: Path
) -> None:
    sandbox.env["TRAINER_CACHE"] = str(own_cache)
    options: list[object] = ["train", "--data", large, *SMALL]
    trainer(*options, "--epochs", 4, "--out", "whole.json", "--save-model", "whole.npz")
    options += ["--epochs", 2, "--out", "r.json", "--save-model", "r.npz", "--keep-checkpoint", 1]
    trainer(*options)
    sandbox.env["SWEEP_UNTIL"] = "4"
    assert "going on after epoch 2" in trainer(*options).out
    assert read_result(sandbox.path)["epochs_done"] == 4
    assert weights(sandbox.path / "r.npz") == weights(sandbox.path / "whole.npz")
    del sandbox.env["SWEEP_UNTIL"]
    assert "is of a longer training: starting anew" in trainer(*options).out
    assert read_result(sandbox.path)["epochs_done"] == 2


def test_another_training_is_not_taken_up(
    sandbox: Sandbox, trainer: Trainer, large: Path, own_cache: Path
) -> None:
    sandbox.env["TRAINER_CACHE"] = str(own_cache)
    options: list[object] = ["train", "--data", large, "--epochs", 60, *SMALL, "--out", "r.json"]
    assert interrupted(sandbox, options, signal.SIGUSR1, 1) == 75
    ran = trainer(*options, "--epochs", 2, "--seed", 1)
    assert "going on" not in ran.out
    assert read_result(sandbox.path)["resumed"] == 0


def test_validating_on_the_test_images_says_so(sandbox: Sandbox, trainer: Trainer, large: Path) -> None:
    ran = trainer("train", "--data", large, "--epochs", 2, *SMALL, "--validate-on", "test", "--out", "r.json")
    result = read_result(sandbox.path)
    assert result["objective_on"] == "test"
    assert result["data"]["validation"] == result["data"]["test"]
    assert len(result["data"]["train"]) == 6
    assert result["segMeasure"] == result["test"]["segMeasure"]
    assert "no unseen images are left" in ran.out


def test_it_ends_early_where_the_score_stands_still(sandbox: Sandbox, trainer: Trainer, large: Path) -> None:
    trainer("train", "--data", large, "--epochs", 200, *SMALL, "--learning-rate", 1e-9, "--early-stopping", 3,
            "--keep", "best", "--schedule", "plateau", "--out", "r.json")  # fmt: skip
    result = read_result(sandbox.path)
    assert result["epochs_done"] < 200
    scores = [epoch["segMeasure"] for epoch in result["history"]]
    assert result["kept_epoch"] == 1 + int(np.argmax(scores))
    assert result["epochs_done"] == result["kept_epoch"] + 3


def test_a_plateau_halves_the_learning_rate(sandbox: Sandbox, trainer: Trainer, large: Path) -> None:
    # A rate at which nothing moves: no epoch is better than an early one.
    trainer("train", "--data", large, "--epochs", 24, *SMALL, "--learning-rate", 1e-9, "--schedule", "plateau",
            "--out", "r.json")  # fmt: skip
    rates = [epoch["learning_rate"] for epoch in read_result(sandbox.path)["history"]]
    assert rates[0] == pytest.approx(1e-9)
    assert rates[-1] <= 0.26e-9
    assert all(
        after in (pytest.approx(before), pytest.approx(before / 2)) for before, after in itertools.pairwise(rates)
    )


def test_a_dry_run_trains_nothing(sandbox: Sandbox, trainer: Trainer, large: Path) -> None:
    ran = trainer("train", "--data", large, "--batch-size", 8, "--dry-run", "--out", "r.json")
    assert "5 training images" in ran.out
    assert "patches of 32×32" in ran.out
    assert not (sandbox.path / "r.json").exists()


BAD: list[tuple[list[object], str]] = [
    (["--model", "smalUNet"], "did you mean 'smallUNet'?"),
    (["--learning-rate", 0], "--learning-rate is 0"),
    (["--learning-rate", "nan"], "--learning-rate is nan"),
    (["--learning-rate=-1"], "--learning-rate is -1"),
    (["--weights", 0, 0, 0], "--weights is 0 0 0"),
    (["--division", 500], "--division is 500"),
    (["--division", 8, "--depth", 4], "too small for 4 poolings"),
    (["--augmentation", 2], "--augmentation is 2"),
    (["--batch-size", 10_000], "--batch-size is 10000, and there are"),
    (["--data", "nowhere"], "there is no folder"),
    (["--out", "set"], "--out is the folder 'set'"),
    (["--extra-data", "nowhere"], "there is no folder 'nowhere'"),
    (["--extra-data", "set"], "is the same as"),
    (["--save-model", "set"], "--save-model is the folder 'set'"),
    (["--save-model", "r.json"], "--save-model is 'r.json', the --out's own file"),
    (["--save-model", "r.json.checkpoint.npz"], "the checkpoint's own file"),
    (["--out", "set/images/synth_000.png/r.json"], "cannot make"),
    (["--out", "x" * 300], "File name too long"),
    (["--learning-rate", 1e39], "--learning-rate is 1e+39"),
    (["--seed", 2**32], "--seed is 4294967296"),
    (["--threads", 100_000], "--threads is 100000"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_what_cannot_be_trained(sandbox: Sandbox, trainer: Trainer, options: list[object], message: str) -> None:
    trainer("data", "synth", "set", "--count", 8, "--rows", 64, "--columns", 64)
    ran = trainer("train", "--data", "set", "--out", "r.json", *options, code=2)
    assert message in ran.err
    assert sorted(path.name for path in sandbox.path.iterdir()) == ["set"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "adm"), ("schedule", "step"), ("masks", "rgb"), ("on_the_fly", "all"), ("undo_weights", "maybe"),
        ("keep", "first"), ("validate_on", "train"), ("dropout", 1.0), ("ema", 1.0), ("ema", -0.1), ("dropout", -0.1), ("epochs", 0), ("contour", 3),
        ("validation", 0.0), ("folds", 1), ("fold", 1), ("seed", -1), ("threads", -1), ("early_stopping", -1),
        ("weights", (1.0, -1.0, 1.0)), ("weights", (float("inf"), 1.0, 1.0)), ("augmentation", -1), ("batch_size", 0),
    ],
)  # fmt: skip
def test_every_option_has_its_bounds(name: str, value: object) -> None:
    check(Options(data=Path("d")))
    with pytest.raises(InputError) as caught:
        check(Options(**{"data": Path("d"), name: value}))  # type: ignore[arg-type]
    assert f"--{name.replace('_', '-')} is" in str(caught.value)
    assert caught.value.hint


def test_no_permission_is_found_out_before_the_training(nuclei: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal is simulated, as root may write everywhere."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="no permission"):
        setting.make_setting(Options(data=nuclei, batch_size=4, out=nuclei / "r.json"), cache.Cache(Path(), 0))


def test_no_nucleus_to_validate_on(nuclei: Path) -> None:
    options = Options(data=nuclei, batch_size=4)
    held = setting.make_setting(options, cache.Cache(Path(), 0)).prepared.validation[0].name
    io.imsave(nuclei / "masks" / held, np.zeros((96, 120), np.uint8), check_contrast=False)
    with pytest.raises(InputError, match=f"no nucleus in the images to validate on: {held}"):
        setting.make_setting(options, cache.Cache(Path(), 0))


def test_weights_that_starve_a_class_are_warned_about() -> None:
    fractions = {"background": 0.9, "nucleus": 0.08, "contour": 0.02}
    assert setting.starved_classes(fractions, (0.01, 1.0, 0.95)) == []
    [warning] = setting.starved_classes(fractions, (0.001, 1.0, 0.95))
    assert "background 0.9% of the loss (90.0% of the pixels)" in warning
    assert "contour" in setting.starved_classes(fractions, (1.0, 1.0, 0.5))[0]
    assert setting.starved_classes({**fractions, "contour": 0.0}, (0.0, 0.0, 1.0)) == [
        "the weights leave no loss at all: the classes that have a weight do not occur"
    ]


@pytest.mark.parametrize("rate", [1e20, 1e28])
def test_the_last_steps_divergence_is_seen_too(
    sandbox: Sandbox, trainer: Trainer, large: Path, rate: float
) -> None:
    trainer("train", "--data", large, "--optimizer", "sgd", "--epochs", 1, *SMALL, "--batch-size", 40,
            "--learning-rate", rate, "--weights", 1e9, 1e9, 1e9, "--out", "r.json", "--save-model", "m.npz", code=1)  # fmt: skip
    assert "diverged" in read_result(sandbox.path)["failed"]
    assert not (sandbox.path / "m.npz").exists()


def test_another_split_is_not_taken_up(sandbox: Sandbox, trainer: Trainer, large: Path, own_cache: Path) -> None:
    """The test images of the new split may have been training images before."""
    sandbox.env["TRAINER_CACHE"] = str(own_cache)
    options: list[object] = ["train", "--data", large, "--epochs", 300, *SMALL, "--out", "r.json"]
    assert interrupted(sandbox, options, signal.SIGTERM, 1) == 75
    split = json.loads((large / "split.json").read_text())
    split["test"].append(split["train"].pop())
    (large / "split.json").write_text(json.dumps(split))
    assert "going on" not in trainer(*options, "--epochs", 2).out
    plain, undone = Options(data=large), Options(data=large, undo_weights="no")
    assert plain.identity("k", 1) != undone.identity("k", 1) != undone.identity("k", 2) != undone.identity("l", 2)


def test_a_training_that_diverges_is_a_failure_with_its_reason(
    sandbox: Sandbox, trainer: Trainer, large: Path
) -> None:
    ran = trainer("train", "--data", large, "--optimizer", "sgd", "--epochs", 3, *SMALL, "--learning-rate", 1e25,
                  "--out", "r.json", code=1)  # fmt: skip
    assert "diverged" in ran.err
    result = read_result(sandbox.path)
    assert (result["complete"], result["segMeasure"]) == (False, None)
    assert "diverged" in result["failed"]
    assert not (sandbox.path / "r.json.checkpoint.npz").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here to play a full disk")
def test_a_full_disk_is_reported_and_leaves_nothing(sandbox: Sandbox, trainer: Trainer, large: Path) -> None:
    """The checkpoint's temporary file is a link to the device that is always full."""
    code = (
        "import os, sys; from pathlib import Path; from trainer import cli\n"
        "was = Path.open\n"
        "def full(self, mode='r', *a, **k):\n"
        "    return was(Path('/dev/full') if 'checkpoint' in self.name and 'w' in mode else self, mode, *a, **k)\n"
        "Path.open = full; sys.argv = ['trainer', *sys.argv[1:]]; cli.main()"
    )
    ran = sandbox.run(
        sys.executable, "-c", code, "train", "--data", "set", "--epochs", "2", *map(str, SMALL), "--out", "r.json",
        timeout_s=120,
    )  # fmt: skip
    assert ran.code == 2, ran.err
    # It ends by the message, not by the error: a traceback after it is NumPy's before 2.2, of the archive it left open.
    error_line = next(line for line in ran.err.splitlines() if line.startswith(("error: ", "Traceback")))
    assert "No space left on device" in error_line, ran.err
    assert sorted(path.name for path in sandbox.path.iterdir()) == ["set"]


def test_nan_never_appears_in_a_result(tmp_path: Path, large: Path, trainer: Trainer, sandbox: Sandbox) -> None:
    trainer("train", "--data", large, "--epochs", 1, *SMALL, "--out", "r.json")
    good = Result(**read_result(sandbox.path))
    with pytest.raises(TrainerError):
        write_result(tmp_path / "n" / "r.json", good.model_copy(update={"segMeasure": float("nan")}))
    assert not (tmp_path / "n").exists() or list((tmp_path / "n").iterdir()) == []


def test_a_path_of_any_bytes_can_be_spelt() -> None:
    odd = Path(os.fsdecode(b"data-\xff"))
    options = Options(data=odd, extra_data=(odd,), out=odd, save_model=odd)
    values = writer._options_as_used(options, options.shape)
    assert [values[name] for name in ("data", "out", "save_model")] == ["data-\\udcff"] * 3
    assert values["extra_data"] == ["data-\\udcff"]
    assert (values["depth"], values["width"]) == (2, 16)  # the model's own, in place of none


def test_the_published_schema_is_the_results() -> None:
    expected = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"

    if os.environ.get("SWEEP_UPDATE_GOLDEN"):
        SCHEMA.write_text(expected, encoding="utf-8")
    assert SCHEMA.read_text(encoding="utf-8") == expected, "SWEEP_UPDATE_GOLDEN=1 writes it anew"
