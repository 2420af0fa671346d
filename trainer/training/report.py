"""Fills in the result, as far as a training has come."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer.network import models
from trainer.scoring.instances import Decision
from trainer.training import environment
from trainer.training.loop import Fit
from trainer.training.options import Options
from trainer.training.result import Data, Epoch, Image, Network, Result, Scores, write_result
from trainer.training.setting import Setting


class Report:
    """Writes the result, as far as it has come."""

    def __init__(self, setting: Setting, threads: int, parameters: int, fit: Fit) -> None:
        self.setting, self.fit, self.threads = setting, fit, threads
        self.commit, self.dirty = environment.git()
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
            validation=[one.name for one in prepared.validation],
            test=[one.name for one in prepared.test],
            images=len(prepared.train),
            patches=len(setting.patches.at),
            patch_px=(setting.patches.rows, setting.patches.columns),
            class_fractions=prepared.class_fractions,
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
        """Write what is known now: after an epoch, at a failure, or at the end."""
        options, progress = self.setting.options, self.fit.progress
        history = progress.history
        latest = validation or (history[-1] if history else {})
        seconds = dict(self.fit.clock.laps)
        steady = history[1:] or history  # the first epoch traces the network
        steps_s = sum(one["seconds"] for one in steady)
        images = sum(one["seconds"] * one["images_per_s"] for one in steady)
        made = Result(
            complete=validation is not None,
            failed=failed,
            segMeasure=latest.get("segMeasure"),
            f1=latest.get("f1"),
            ap50=latest.get("ap50"),
            objective_on=options.validate_on,
            validation=Scores(**validation) if validation else None,
            test=Scores(**test) if test else None,
            decision=asdict(decision) if decision else None,
            parameters=_spelt_out(options, self.setting.shape),
            seed=options.seed,
            folds=options.folds,
            fold=options.fold,
            epochs_done=progress.epoch,
            kept_epoch=(progress.best_epoch if options.keep == "best" else progress.epoch) if validation else None,
            history=[Epoch(**one) for one in history],
            network=self.network,
            data=self.data,
            seconds=seconds,
            resumed=progress.resumed,
            images_per_s=round(images / steps_s, 3) if steps_s else None,
            peak_memory_bytes=environment.peak_memory_bytes(),
            threads=self.threads,
            cpus=environment.cpus(),
            host=os.uname().nodename,
            versions=self.versions,
            git_commit=self.commit,
            git_dirty=self.dirty,
            warnings=self.setting.warnings,
            images=[Image(**one) for one in pictures or []],
        )
        write_result(options.out, made)
        return made


def _spelt_out(options: Options, shape: models.Shape) -> dict[str, Any]:
    """All options as used, the model's own depth and width in place of none."""
    made = {**asdict(options), "depth": shape.depth, "width": shape.width}
    made["extra_data"] = [_text(path) for path in options.extra_data]
    return {name: _text(value) if isinstance(value, Path) else value for name, value in made.items()}


def _text(path: Path) -> str:
    """Spell a path so that JSON can hold it, whatever its bytes."""
    return str(path).encode("utf-8", "backslashreplace").decode()
