"""One training, from the options to the result."""

from __future__ import annotations

import sys
from typing import Any

from trainer.errors import Diverged, InputError
from trainer.files.cache import Cache
from trainer.network import kernels, models
from trainer.scoring import gallery
from trainer.scoring.instances import Decision
from trainer.scoring.seg import AnyLabels, miscount
from trainer.training import checkpoint, environment, modelfile
from trainer.training.clock import Clock
from trainer.training.evaluate import Evaluation
from trainer.training.interrupt import Sigterm
from trainer.training.loop import TrainingLoop
from trainer.training.options import Options
from trainer.training.result import Result
from trainer.training.setting import Setting, make_setting
from trainer.training.writer import ResultWriter


def train(options: Options, cache: Cache, sigterm: Sigterm, until: int = 0) -> Result:
    """Train, predict, score, and write the result. It is also written after each epoch, not yet complete.

    Parameters
    ----------
    options : Options
    cache : Cache
        Of prepared sets.
    sigterm : Sigterm
    until : int
        Stop after so many epochs, to go on later; or train for more epochs than the options say. 0: neither.

    Returns
    -------
    Result
        As written.

    Raises
    ------
    InputError
        The data or an option cannot be used.
    Diverged
        The loss is not a finite number any more; the result says so.
    Interrupted
        A warning of the scheduler came, or `until` is reached. The same call goes on where this one ended.
    """
    clock = Clock()
    if until > options.epochs and options.schedule == "cosine":
        raise InputError(
            f"{until} epochs are asked for, and the cosine schedule ends after {options.epochs}",
            f"train anew with --epochs {until}: its learning rates are others from the start",
        )
    setting = make_setting(options, cache)
    if kernels.plain_keras():
        setting.warnings.append(f"{kernels.SWITCH} is set: trained with the plain kernels of Keras")
    if rounding := environment.rounding_variables():
        setting.warnings.append(f"set in the environment: {', '.join(rounding)}, which can change the numbers")
    for warning in setting.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    clock.lap("prepare")
    threads = environment.start_tensorflow(options.threads)
    clock.lap("import")
    network = models.build(setting.shape, options.dropout, options.seed)
    clock.lap("build")
    loop = _make_loop(setting, network, threads, clock, until)
    loop.resume()
    writer = ResultWriter(setting, threads, int(network.count_params()), loop.progress, clock)
    evaluation = Evaluation(network, options, setting.prepared.smallest_nucleus_px)
    images = setting.prepared.validation

    def validate() -> dict[str, float] | None:
        predicted = []
        for image in images:
            predicted += evaluation.predict([image])
            if sigterm.received:
                return None
        _, scores = evaluation.choose(images, predicted, thresholds=False)
        return {name: scores[name] for name in ("segMeasure", "f1", "ap50")}

    def on_epoch() -> None:
        writer.write()
        cache.touch(setting.prepared.key)

    try:
        loop.run(validate, on_epoch, sigterm)
    except Diverged as error:
        writer.write(failed=str(error))
        raise
    return _finish(setting, evaluation, writer, clock)


def _make_loop(setting: Setting, network: Any, threads: int, clock: Clock, until: int) -> TrainingLoop:
    options, prepared = setting.options, setting.prepared
    identity = options.identity(prepared.key, threads, plain_keras=kernels.plain_keras())
    rows, columns = prepared.size
    return TrainingLoop(network, setting.patches, options, identity, rows * columns, clock, until)


def _finish(setting: Setting, evaluation: Evaluation, writer: ResultWriter, clock: Clock) -> Result:
    """Choose the decision, score the images that no choice has seen, and write everything that is kept."""
    options, images = setting.options, setting.prepared.validation
    predicted = evaluation.predict(images, tta=options.tta)
    clock.lap("predict")
    decision, validation = evaluation.choose(images, predicted, thresholds=True)
    clock.lap("score")
    test, predicted_labels = evaluation.score_unseen(setting.prepared.test, decision, clock)
    for images_of, scores in (("the images that decide", validation), ("the test images", test)):
        if scores and miscount(scores["objects"], scores["found"]):
            unseen = ". SEG does not see nuclei that are not there" if scores["found"] > scores["objects"] else ""
            setting.warn(
                f"{scores['found']} nuclei are found in {images_of}, where {scores['objects']} are: F1 is "
                f"{scores['f1']:.3f}{unseen}"
            )
    if options.save_model:
        modelfile.save(options.save_model, evaluation.network, _model_info(setting, decision, validation))
    result = writer.write(decision=decision, validation=validation, test=test)
    if not options.keep_checkpoint:
        checkpoint.remove(options.out)
    if options.keep_predictions and predicted_labels:
        pictures = _keep_pictures(setting, predicted_labels, validation["segMeasure"])
        clock.lap("draw")
        result = writer.write(decision=decision, validation=validation, test=test, pictures=pictures)
    return result


def _keep_pictures(setting: Setting, predicted: dict[str, AnyLabels], score: float) -> list[dict[str, str]]:
    """Keep the pictures, or warn: a training that has its score is not lost to a full disk."""
    options = setting.options
    assert options.keep_predictions
    images = {
        image.name: gallery.PredictedImage(image.image, image.labels, predicted[image.name])
        for image in setting.prepared.test
    }
    try:
        return gallery.keep_pictures(options.keep_predictions, options.keep_best, options.out, score, images)
    except InputError as error:
        setting.warn(f"no pictures were kept: {error}")
        return []


def _model_info(setting: Setting, decision: Decision, scores: dict[str, Any]) -> modelfile.ModelInfo:
    options = setting.options
    return modelfile.ModelInfo(
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
        tta=options.tta,
    )
