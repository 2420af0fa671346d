"""Writes the result of a training, as far as it has come."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer.network import models
from trainer.scoring.instances import Decision
from trainer.training import environment
from trainer.training.checkpoint import Progress
from trainer.training.clock import Clock
from trainer.training.options import Options
from trainer.training.result import Data, Epoch, Image, Network, Result, Scores, write_result
from trainer.training.setting import Setting


class ResultWriter:
    """Writes the result after each epoch, at a failure, and at the end.

    Parameters
    ----------
    setting : Setting
    threads : int
    parameters : int
        Number of weights of the network.
    progress : Progress
        Of the training loop, which changes it.
    clock : Clock
    """

    def __init__(self, setting: Setting, threads: int, parameters: int, progress: Progress, clock: Clock) -> None:
        self.setting, self.threads, self.progress, self.clock = setting, threads, progress, clock
        self.commit, self.changed = environment.git_commit()
        self.versions = environment.versions()
        self.network = Network(
            model=setting.options.model,
            depth=setting.shape.depth,
            width=setting.shape.width,
            parameters=parameters,
            flops_a_patch=models.flops(setting.shape, setting.patches.rows, setting.patches.columns),
        )
        prepared = setting.prepared
        self.data = Data(
            fingerprint=prepared.fingerprint,
            train=prepared.originals,
            validation=[image.name for image in prepared.validation],
            test=[image.name for image in prepared.test],
            images=len(prepared.train),
            patches=len(setting.patches.corners),
            patch_px=(setting.patches.rows, setting.patches.columns),
            class_fractions=prepared.class_fractions,
            scale=prepared.scale,
            diameter_px=round(prepared.diameter_px, 2),
        )

    def write(
        self,
        *,
        failed: str | None = None,
        decision: Decision | None = None,
        validation: dict[str, Any] | None = None,
        test: dict[str, Any] | None = None,
        pictures: list[dict[str, str]] | None = None,
    ) -> Result:
        """Write the result. What is not given yet is null in it."""
        options, progress = self.setting.options, self.progress
        history = progress.history
        latest = validation or (history[-1] if history else {})
        result = Result(
            complete=validation is not None,
            failed=failed,
            segMeasure=latest.get("segMeasure"),
            f1=latest.get("f1"),
            ap50=latest.get("ap50"),
            objective_on=options.validate_on,
            validation=Scores(**validation) if validation else None,
            test=Scores(**test) if test else None,
            decision=asdict(decision) if decision else None,
            parameters=_options_as_used(options, self.setting.shape),
            seed=options.seed,
            folds=options.folds,
            fold=options.fold,
            epochs_done=progress.epoch,
            kept_epoch=(progress.best_epoch if options.keep == "best" else progress.epoch) if validation else None,
            history=[Epoch(**epoch) for epoch in history],
            network=self.network,
            data=self.data,
            seconds=dict(self.clock.laps),
            resumed=progress.resumed,
            images_per_s=_images_per_s(history),
            peak_memory_bytes=environment.peak_memory_bytes(),
            threads=self.threads,
            cpus=environment.usable_cpus(),
            host=os.uname().nodename,
            versions=self.versions,
            git_commit=self.commit,
            git_dirty=self.changed,
            warnings=self.setting.warnings,
            images=[Image(**picture) for picture in pictures or []],
        )
        write_result(options.out, result)
        return result


def _images_per_s(history: list[dict[str, Any]]) -> float | None:
    """Average the speed over all epochs but the first, which traces the network."""
    steady = history[1:] or history
    steps_s = sum(epoch["seconds"] for epoch in steady)
    images = sum(epoch["seconds"] * epoch["images_per_s"] for epoch in steady)
    return round(images / steps_s, 3) if steps_s else None


def _options_as_used(options: Options, shape: models.Shape) -> dict[str, Any]:
    """Give all options as JSON can hold them, with the depth and width of the network."""
    values = {**asdict(options), "depth": shape.depth, "width": shape.width}
    values["extra_data"] = [_path_text(path) for path in options.extra_data]
    return {name: _path_text(value) if isinstance(value, Path) else value for name, value in values.items()}


def _path_text(path: Path) -> str:
    """Spell a path so that JSON can hold it, whatever its bytes are."""
    return str(path).encode("utf-8", "backslashreplace").decode()
