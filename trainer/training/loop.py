"""The training loop: steps, epochs, schedules, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from trainer.data.patches import Batch, Patches, batches
from trainer.errors import Diverged
from trainer.network.kernels import make_optimizer
from trainer.network.step import make_step
from trainer.training import checkpoint
from trainer.training.clock import Clock
from trainer.training.interrupt import Interrupted, Sigterm
from trainer.training.options import Options

#: After this many epochs without a better validation score the schedule ``plateau`` halves the learning rate.
PLATEAU_EPOCHS = 5

#: Scores the network on the validation images: segMeasure, f1, ap50. None if a warning came meanwhile.
Validate = Callable[[], dict[str, float] | None]


class TrainingLoop:
    """One training of one network, from its first step or from its checkpoint.

    Parameters
    ----------
    network : keras.Model
    patches : Patches
    options : Options
    identity : str
        Of the weights that the training ends with; see `Options.identity`.
    image_px : int
        Pixels of a whole image. The speed is counted in images of this size.
    clock : Clock
    until : int
        Stop after so many epochs. More than the options say: train so many. 0: train to the end.
    """

    def __init__(
        self,
        network: Any,
        patches: Patches,
        options: Options,
        identity: str,
        image_px: int,
        clock: Clock,
        until: int = 0,
    ) -> None:
        self.network, self.patches, self.options = network, patches, options
        self.identity, self.image_px, self.clock = identity, image_px, clock
        self.optimizer = make_optimizer(options.optimizer, options.learning_rate, network.trainable_variables)
        self.step = make_step(network, self.optimizer, options.weights, 1 << options.shape.depth)
        self.path = checkpoint.path_for(options.out)
        self.steps_an_epoch = -(-len(patches.corners) // options.batch_size)
        self.progress = checkpoint.Progress(rate=options.learning_rate)
        self.best_weights: checkpoint.Arrays = []
        self.average = [values.copy() for values in _values(network.variables)] if options.ema else []
        self.until, self.epochs = until, max(options.epochs, until)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one of this training."""
        loaded = checkpoint.load(self.path, self.identity)
        if loaded is None:
            if self.path.exists():
                what = "cannot be read" if checkpoint.is_damaged(self.path) else "is of another training"
                print(f"{self.path.name} {what}: starting anew", flush=True)
            return
        if loaded[0].epoch > self.epochs:
            print(f"{self.path.name} is of a longer training: starting anew", flush=True)
            return
        self.progress, arrays = loaded
        self.progress.resumed += 1
        _assign(self.network.variables, arrays["network"])
        _assign(self.optimizer.variables, arrays["optimizer"])
        self.best_weights = arrays.get("best", [])
        self.average = arrays.get("average", [])
        self.clock.add(self.progress.seconds)
        print(f"going on after epoch {self.progress.epoch}, batch {self.progress.batch}", flush=True)

    def run(self, validate: Validate, on_epoch: Callable[[], None], sigterm: Sigterm) -> None:
        """Train to the end, and put the weights that are to be kept into the network.

        Parameters
        ----------
        validate : callable
        on_epoch : callable
            Called after each epoch.
        sigterm : Sigterm

        Raises
        ------
        Diverged
            The loss is not a finite number any more.
        Interrupted
            A warning came, or the training has come as far as it is to; the checkpoint has everything.
        """
        with sigterm.deferred():
            while self.progress.epoch < self.epochs and not self._ends_early():
                if 0 < self.until <= self.progress.epoch:
                    on_epoch()  # an earlier run may have been killed before it wrote the result
                    raise Interrupted(f"stopped after epoch {self.progress.epoch}, as asked")
                complete = self._run_epoch(validate, sigterm)
                self._save()
                if complete:
                    on_epoch()
                self.clock.lap("save")
                if sigterm.received:
                    break
        if self.options.keep == "best" and self.best_weights:
            _assign(self.network.variables, self.best_weights)
        elif self.average:
            _assign(self.network.variables, self.average)

    def _run_epoch(self, validate: Validate, sigterm: Sigterm) -> bool:
        """Do one epoch, or the rest of it; False if a warning came before its end."""
        progress, began = self.progress, time.monotonic()
        for images, classes in self._batches():
            self._set_rate()
            progress.losses.append(float(self.step(images, classes)))
            progress.batch += 1
            self._move_average()
            if len(progress.history) == 0 and progress.batch == 1:
                self.clock.lap("first step")
            if sigterm.received:
                self.clock.lap("steps")
                progress.spent_s += time.monotonic() - began
                return False
        loss = float(np.mean(progress.losses))
        self._check_finite(loss)
        steps_s = progress.spent_s + time.monotonic() - began
        self.clock.lap("steps")
        with self._averaged():
            scores = validate()
        self.clock.lap("validate")
        if scores is None:
            progress.spent_s = steps_s
            return False
        self._end_epoch(loss, scores, steps_s)
        return True

    def _check_finite(self, loss: float) -> None:
        # The loss of a step is that before the step. The effect of the last one shows in the weights alone.
        if math.isfinite(loss) and all(np.isfinite(values).all() for values in _values(self.network.variables)):
            return
        checkpoint.remove(self.options.out)
        raise Diverged(
            f"the training diverged in epoch {self.progress.epoch + 1}, its loss is {loss}",
            "lower --learning-rate",
        )

    def _move_average(self) -> None:
        """Move the average of the weights by one step; also the means and variances of the normalisation."""
        if not self.average:
            return
        step = self.progress.epoch * self.steps_an_epoch + self.progress.batch
        # The first weights are random: the average forgets them sooner than its decay would.
        share = np.float32(1 - min(self.options.ema, (1 + step) / (10 + step)))
        for number, values in enumerate(_values(self.network.variables)):
            mean = self.average[number]
            if np.issubdtype(values.dtype, np.floating):
                mean += share * (values - mean)
            else:  # the state of a random generator
                self.average[number] = values

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Give the network the average of its weights for a while."""
        trained = _values(self.network.variables) if self.average else []
        if trained:
            _assign(self.network.variables, self.average)
        try:
            yield
        finally:
            if trained:
                _assign(self.network.variables, trained)

    def _kept(self) -> checkpoint.Arrays:
        """Copy the weights that are scored."""
        return [values.copy() for values in self.average] or _values(self.network.variables)

    def _batches(self) -> Iterator[Batch]:
        progress, options = self.progress, self.options
        return batches(
            self.patches,
            options.batch_size,
            # Drawn from the seed and the epoch, so that an epoch does not depend on those before it.
            np.random.default_rng([options.seed, 2, progress.epoch]),
            on_the_fly=options.on_the_fly,
            skip=progress.batch,
        )

    def _set_rate(self) -> None:
        progress, rate = self.progress, self.progress.rate
        if self.options.schedule == "cosine":
            epochs_done = progress.epoch + progress.batch / self.steps_an_epoch
            rate *= 0.5 * (1 + math.cos(math.pi * epochs_done / self.options.epochs))
        self.optimizer.rate.assign(rate)

    def _end_epoch(self, loss: float, scores: dict[str, float], steps_s: float) -> None:
        progress, options = self.progress, self.options
        progress.epoch, progress.batch, progress.losses, progress.spent_s = progress.epoch + 1, 0, [], 0.0
        trained_px = self.steps_an_epoch * options.batch_size * self.patches.rows * self.patches.columns
        images_per_s = trained_px / self.image_px / steps_s if steps_s else 0.0
        progress.history.append(
            {
                "epoch": progress.epoch,
                "loss": loss,
                **scores,
                "learning_rate": float(self.optimizer.rate.numpy()),
                "seconds": round(steps_s, 3),
                "images_per_s": round(images_per_s, 3),
            }
        )
        self._compare_with_best(scores["segMeasure"])
        spent_s = self.clock.laps.get("steps", 0.0) + self.clock.laps.get("validate", 0.0)
        left_s = spent_s / progress.epoch * (self.epochs - progress.epoch)
        print(
            f"epoch {progress.epoch}/{self.epochs}  loss {loss:.5f}  segMeasure {scores['segMeasure']:.4f}  "
            f"{images_per_s:.2f} images/s  {left_s:.0f} s left",
            flush=True,
        )

    def _compare_with_best(self, score: float) -> None:
        """Record the epoch if it is the best so far; else reduce the learning rate where the schedule says so."""
        progress, options = self.progress, self.options
        if score > progress.best_score:
            progress.best_epoch, progress.best_score = progress.epoch, score
            self.best_weights = self._kept() if options.keep == "best" else []
            return
        unchanged_epochs = progress.epoch - max(progress.best_epoch, progress.reduced_at)
        if options.schedule == "plateau" and unchanged_epochs >= PLATEAU_EPOCHS:
            progress.rate, progress.reduced_at = progress.rate / 2, progress.epoch

    def _ends_early(self) -> bool:
        progress, patience = self.progress, self.options.early_stopping
        return bool(patience) and progress.epoch - progress.best_epoch >= patience

    def _save(self) -> None:
        self.progress.seconds = self.clock.laps
        arrays = {"network": _values(self.network.variables), "optimizer": _values(self.optimizer.variables)}
        checkpoint.save(
            self.path, self.identity, self.progress, {**arrays, "best": self.best_weights, "average": self.average}
        )


def _values(variables: list[Any]) -> checkpoint.Arrays:
    return [variable.numpy() for variable in variables]


def _assign(variables: list[Any], values: checkpoint.Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
