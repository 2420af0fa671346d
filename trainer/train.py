"""One training, from the options to the result."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainer import checkpoint, instances, modelfile, models, surroundings
from trainer.cache import Cache
from trainer.clock import Clock
from trainer.data import CLASSES
from trainer.errors import Diverged, InputError
from trainer.fit import Fit
from trainer.instances import Decision
from trainer.interrupt import Sigterm
from trainer.options import UNDO, Options, check
from trainer.patches import Patches, cut
from trainer.predict import probabilities
from trainer.prepare import Picture, Prepared, prepare
from trainer.result import Data, Epoch, Network, Result, Scores, write_result
from trainer.score import score

#: A class that makes less of the loss than this is as good as not there.
STARVED = 0.02


@dataclass
class Setting:
    """A training as it stands before its first step."""

    options: Options
    prepared: Prepared
    patches: Patches
    shape: models.Shape
    warnings: list[str] = field(default_factory=list)

    def said(self) -> str:
        """Tell in a few lines what would be trained."""
        prepared, patches, shape = self.prepared, self.patches, self.shape
        parameters = sum(layer.parameters for layer in models.layers_of(shape))
        lines = [
            f"{len(prepared.originals)} training images ({len(prepared.train)} with made ones), "
            f"{len(prepared.validation)} for the objective, {len(prepared.test)} for testing",
            f"{len(patches.at)} patches of {patches.rows}×{patches.columns}, "
            f"{-(-len(patches.at) // self.options.batch_size)} steps an epoch",
            f"{self.options.model}: depth {shape.depth}, width {shape.width}, {parameters:,} parameters",
            *(f"warning: {one}" for one in self.warnings),
        ]
        return "\n".join(lines)


def ready(options: Options, cache: Cache) -> Setting:
    """Check everything that can be checked without TensorFlow, and prepare the data.

    Raises
    ------
    InputError
        The data or an option cannot be used.
    """
    check(options)
    _writable(options.out)
    prepared = prepare(options.data, options.extra_data, options.rule, options.recipe, options.seed, cache)
    patches = cut(prepared.train, options.division, blank=options.blank, contour_px=options.contour)
    models.check_patch(options.shape, patches.rows, patches.columns)
    if options.batch_size > len(patches.at):
        raise InputError(
            f"--batch-size is {options.batch_size}, and there are {len(patches.at)} patches",
            "lower it, or raise --division or --augmentation",
        )
    if not any(one.labels.any() for one in prepared.validation):
        names = ", ".join(one.name for one in prepared.validation)
        raise InputError(
            f"there is no nucleus in the images to validate on: {names}", "choose others, or another seed"
        )
    return Setting(options, prepared, patches, options.shape, starved(prepared.class_fractions(), options.weights))


def _writable(out: Path) -> None:
    """Find out before the training, not behind it."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {str(out.parent)!r}: {error.strerror}", "choose another --out") from None
    if not os.access(out.parent, os.W_OK):
        raise InputError(f"cannot write in {str(out.parent)!r}: no permission", "choose another --out")


def starved(fractions: dict[str, float], weights: tuple[float, float, float]) -> list[str]:
    """Say which classes the weights leave next to nothing of the loss, by the data's own class fractions."""
    parts = {name: fractions[name] * weight for name, weight in zip(CLASSES, weights, strict=True)}
    whole = sum(parts.values())
    if not whole:
        return ["the weights leave no loss at all: the classes they keep do not occur"]
    return [
        f"the weights leave the class {name} {part / whole:.1%} of the loss "
        f"({fractions[name]:.1%} of the pixels): it will hardly be learnt"
        for name, part in parts.items()
        if part < STARVED * whole and fractions[name]
    ]


def train(options: Options, cache: Cache) -> Result:
    """Train, predict, score, and write the result; after each epoch too, not yet complete.

    Returns
    -------
    Result
        As written.

    Raises
    ------
    InputError
        The data or an option cannot be used.
    Diverged
        The loss is no number any more; the result says so.
    Interrupted
        SIGTERM came; the same call goes on where it ended.
    """
    sigterm, clock = Sigterm(), Clock()
    setting = ready(options, cache)
    for warning in setting.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    clock.lap("prepare")
    threads = surroundings.start_tensorflow(options.threads)
    clock.lap("import")
    network = models.build(setting.shape, options.dropout, options.seed)
    clock.lap("build")
    identity = options.identity(setting.prepared.fingerprint, threads)
    fit = Fit(network, setting.patches, options, identity, clock)
    report = _Report(setting, threads, int(network.count_params()), fit)
    depth = setting.shape.depth

    def validate() -> dict[str, float]:
        scores = _chosen(network, depth, setting, thresholds=False)[1]
        return {name: scores[name] for name in ("segMeasure", "f1", "ap50")}

    def told(history: list[dict[str, Any]]) -> None:
        report.write(history=history)
        cache.touch(setting.prepared.key)

    try:
        fit.run(validate, told, sigterm)
    except Diverged as error:
        report.write(failed=str(error))
        raise
    decision, validation = _chosen(network, depth, setting, thresholds=True)
    test = _scored(network, depth, setting.prepared.test, decision, options)
    clock.lap("predict and score")
    made = report.write(decision=decision, validation=validation, test=test)
    if options.save_model:
        modelfile.save(options.save_model, network, _about(options, setting, decision, validation))
    checkpoint.path_for(options.out).unlink(missing_ok=True)
    return made


def _about(options: Options, setting: Setting, decision: Decision, scores: dict[str, Any]) -> modelfile.About:
    return modelfile.About(
        version=modelfile.VERSION,
        model=options.model,
        shape=setting.shape,
        contour_px=options.contour,
        weights=options.weights,
        decision=decision,
        normalisation=modelfile.NORMALISATION,
        versions=surroundings.versions(),
        trained_on=setting.prepared.fingerprint,
        segMeasure=scores["segMeasure"],
    )


def _chosen(network: Any, depth: int, setting: Setting, *, thresholds: bool) -> tuple[Decision, dict[str, Any]]:
    """Choose how to decide by the objective's images, and score them so."""
    weights = setting.options.weights
    pictures = setting.prepared.validation
    predicted = [probabilities(network, depth, one.image) for one in pictures]

    def scores(decision: Decision) -> dict[str, Any]:
        return score(
            {
                one.name: (one.labels, instances.instances(chances, decision, weights))
                for one, chances in zip(pictures, predicted, strict=True)
            }
        )

    undo = UNDO[setting.options.undo_weights] if len(set(weights)) > 1 else (False,)
    decision, _ = instances.choose(lambda one: float(scores(one)["segMeasure"]), undo, thresholds=thresholds)
    return decision, scores(decision)


def _scored(
    network: Any, depth: int, pictures: list[Picture], decision: Decision, options: Options
) -> dict[str, Any] | None:
    """Score images that no choice has seen; None where they have no object to score."""
    if not any(one.labels.any() for one in pictures):
        return None
    return score(
        {
            one.name: (
                one.labels,
                instances.instances(probabilities(network, depth, one.image), decision, options.weights),
            )
            for one in pictures
        }
    )


class _Report:
    """Writes the result, as far as it has come."""

    def __init__(self, setting: Setting, threads: int, parameters: int, fit: Fit) -> None:
        self.setting, self.fit, self.threads = setting, fit, threads
        self.commit, self.dirty = surroundings.git()
        self.versions = surroundings.versions()
        self.network = Network(
            model=setting.options.model,
            depth=setting.shape.depth,
            width=setting.shape.width,
            parameters=parameters,
            flops_a_patch=sum(
                one.flops(setting.patches.rows, setting.patches.columns) for one in models.layers_of(setting.shape)
            ),
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
            class_fractions=prepared.class_fractions(),
        )

    def write(
        self,
        *,
        history: list[dict[str, Any]] | None = None,
        failed: str | None = None,
        decision: Decision | None = None,
        validation: dict[str, Any] | None = None,
        test: dict[str, Any] | None = None,
    ) -> Result:
        """Write what is known now: after an epoch, at a failure, or at the end."""
        options, progress = self.setting.options, self.fit.progress
        history = progress.history if history is None else history
        latest = validation or (history[-1] if history else {})
        seconds = dict(self.fit.clock.laps)
        steps_s = sum(one["seconds"] for one in history)
        images = sum(one["seconds"] * one["images_per_s"] for one in history)
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
            peak_memory_bytes=surroundings.peak_memory_bytes(),
            threads=self.threads,
            cpus=surroundings.cpus(),
            host=os.uname().nodename,
            versions=self.versions,
            git_commit=self.commit,
            git_dirty=self.dirty,
            warnings=self.setting.warnings,
        )
        write_result(options.out, made)
        return made


def _spelt_out(options: Options, shape: models.Shape) -> dict[str, Any]:
    """All options as used, the model's own depth and width in place of none."""
    made = {**asdict(options), "depth": shape.depth, "width": shape.width}
    return {
        name: str(value)
        if isinstance(value, Path)
        else [str(one) for one in value]
        if name == "extra_data"
        else value
        for name, value in made.items()
    }
