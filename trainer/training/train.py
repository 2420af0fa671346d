"""One training, from the options to the result."""

from __future__ import annotations

import sys
from typing import Any

from trainer.errors import Diverged, InputError
from trainer.files.cache import Cache
from trainer.network import models
from trainer.scoring import gallery
from trainer.scoring.instances import Decision
from trainer.training import checkpoint, environment, modelfile
from trainer.training.clock import Clock
from trainer.training.evaluate import Evaluation
from trainer.training.interrupt import Sigterm
from trainer.training.loop import Fit
from trainer.training.options import Options
from trainer.training.report import Report
from trainer.training.result import Result
from trainer.training.setting import Setting, ready


def train(options: Options, cache: Cache, sigterm: Sigterm) -> Result:
    """Train, predict, score, and write the result; after each epoch too, not yet complete.

    Parameters
    ----------
    options : Options
    cache : Cache
        Of prepared sets.
    sigterm : Sigterm

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
    clock = Clock()
    setting = ready(options, cache)
    for warning in setting.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    clock.lap("prepare")
    threads = environment.start_tensorflow(options.threads)
    clock.lap("import")
    network = models.build(setting.shape, options.dropout, options.seed)
    clock.lap("build")
    identity = options.identity(setting.prepared.key, threads)
    rows, columns = setting.prepared.size
    fit = Fit(network, setting.patches, options, identity, rows * columns, clock)
    report = Report(setting, threads, int(network.count_params()), fit)
    evaluation, held = Evaluation(network, options), setting.prepared.validation

    def validate() -> dict[str, float] | None:
        predicted = []
        for one in held:
            predicted += evaluation.predict([one])
            if sigterm.came:
                return None
        _, scores = evaluation.choose(held, predicted, thresholds=False)
        return {name: scores[name] for name in ("segMeasure", "f1", "ap50")}

    def told() -> None:
        report.write()
        cache.touch(setting.prepared.key)

    try:
        fit.run(validate, told, sigterm)
    except Diverged as error:
        report.write(failed=str(error))
        raise
    return _finish(setting, evaluation, report, clock)


def _finish(setting: Setting, evaluation: Evaluation, report: Report, clock: Clock) -> Result:
    """Choose how to decide, score what no choice has seen, and write all there is to keep."""
    options, held = setting.options, setting.prepared.validation
    predicted = evaluation.predict(held)
    clock.lap("predict")
    decision, validation = evaluation.choose(held, predicted, thresholds=True)
    clock.lap("score")
    test, found = evaluation.judge(setting.prepared.test, decision, clock)
    if options.save_model:
        modelfile.save(options.save_model, evaluation.network, _about(options, setting, decision, validation))
    made = report.write(decision=decision, validation=validation, test=test)
    checkpoint.remove(options.out)
    if options.keep_predictions and found:
        images = _pictures(setting, found, validation["segMeasure"])
        clock.lap("draw")
        made = report.write(decision=decision, validation=validation, test=test, pictures=images)
    return made


def _pictures(setting: Setting, found: dict[str, Any], score: float) -> list[dict[str, str]]:
    """Keep the pictures, or say why not: a training that has its score is not lost to a full disk."""
    options = setting.options
    assert options.keep_predictions
    shown = {one.name: gallery.Shown(one.image, one.labels, found[one.name]) for one in setting.prepared.test}
    try:
        return gallery.keep(options.keep_predictions, options.keep_best, options.out, score, shown)
    except InputError as error:
        setting.warnings.append(f"no pictures were kept: {error}")
        print(f"warning: {setting.warnings[-1]}", file=sys.stderr)
        return []


def _about(options: Options, setting: Setting, decision: Decision, scores: dict[str, Any]) -> modelfile.About:
    return modelfile.About(
        version=modelfile.VERSION,
        model=options.model,
        shape=setting.shape,
        contour_px=options.contour,
        weights=options.weights,
        decision=decision,
        normalisation=modelfile.NORMALISATION,
        versions=environment.versions(),
        trained_on=setting.prepared.fingerprint,
        segMeasure=scores["segMeasure"],
    )
