"""The training loop: steps, epochs, schedules, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.data.patches import Patches, batches
from trainer.errors import Diverged
from trainer.network.optimizers import Optimizer
from trainer.network.step import step_of
from trainer.training import checkpoint
from trainer.training.clock import Clock
from trainer.training.interrupt import Sigterm
from trainer.training.options import Options

#: Epochs without a better validation score before the learning rate is halved.
PLATEAU_EPOCHS = 5

#: Scores an epoch on the validation images: segMeasure, f1, ap50; None if SIGTERM came meanwhile.
Validate = Callable[[], dict[str, float] | None]


class Fit:
    """One training of one network, from its first step or from where it was interrupted.

    Parameters
    ----------
    network : keras.Model
    patches : Patches
    options : Options
    identity : str
        Of the weights that this will end with; see `Options.identity`.
    image_px : int
        Of a whole image: what images a second are counted in.
    clock : Clock
    """

    def __init__(
        self, network: Any, patches: Patches, options: Options, identity: str, image_px: int, clock: Clock
    ) -> None:
        self.network, self.patches, self.options, self.identity, self.clock = (
            network, patches, options, identity, clock,
        )  # fmt: skip
        self.optimizer = Optimizer(options.optimizer, options.learning_rate, network.trainable_variables)
        self.image_px = image_px
        self.step = step_of(network, self.optimizer, options.weights, 1 << options.shape.depth)
        self.path = checkpoint.path_for(options.out)
        self.steps_an_epoch = -(-len(patches.at) // options.batch_size)
        self.progress = checkpoint.Progress(rate=options.learning_rate)
        self.best: checkpoint.Arrays = []
        self._resume()

    def run(self, validate: Validate, told: Callable[[], None], sigterm: Sigterm) -> None:
        """Train to the end, and put the weights that are to be kept into the network.

        Parameters
        ----------
        validate : callable
        told : callable
            Called after each epoch.
        sigterm : Sigterm

        Raises
        ------
        Diverged
            The loss is no number any more.
        Interrupted
            SIGTERM came; the checkpoint has everything.
        """
        with sigterm.deferred():
            while self.progress.epoch < self.options.epochs and not self._ended_early():
                done = self._epoch(validate, sigterm)
                self._save()
                if done:
                    told()
                self.clock.lap("save")
                if sigterm.came:
                    break
        if self.options.keep == "best" and self.best:
            _assign(self.network.variables, self.best)

    def _epoch(self, validate: Validate, sigterm: Sigterm) -> bool:
        """Do one epoch, or what is left of it; False if SIGTERM came before its end."""
        now, began = self.progress, time.monotonic()
        for images, classes in self._batches():
            self._set_rate()
            now.losses.append(float(self.step(images, classes)))
            now.batch += 1
            if len(now.history) == 0 and now.batch == 1:
                self.clock.lap("first step")
            if sigterm.came:
                return self._left(began)
        loss = float(np.mean(now.losses))
        # The loss of a step is that before it: the last one's effect shows in the weights alone.
        if not math.isfinite(loss) or not all(np.isfinite(one).all() for one in _values(self.network.variables)):
            checkpoint.remove(self.options.out)
            raise Diverged(
                f"the training diverged in epoch {now.epoch + 1}, its loss is {loss}", "lower --learning-rate"
            )
        steps_s = now.spent_s + time.monotonic() - began
        self.clock.lap("steps")
        scores = validate()
        self.clock.lap("validate")
        if scores is None:
            now.spent_s = steps_s
            return False
        self._ended_epoch(loss, scores, steps_s)
        return True

    def _left(self, began: float) -> bool:
        self.clock.lap("steps")
        self.progress.spent_s += time.monotonic() - began
        return False

    def _batches(self) -> Any:
        now, options = self.progress, self.options
        return batches(
            self.patches,
            options.batch_size,
            # Drawn from (seed, epoch), so that an epoch is the same whatever went before.
            np.random.default_rng([options.seed, 2, now.epoch]),
            on_the_fly=options.on_the_fly,
            skip=now.batch,
        )

    def _set_rate(self) -> None:
        now, rate = self.progress, self.progress.rate
        if self.options.schedule == "cosine":
            done = now.epoch + now.batch / self.steps_an_epoch
            rate *= 0.5 * (1 + math.cos(math.pi * done / self.options.epochs))
        self.optimizer.rate.assign(rate)

    def _ended_epoch(self, loss: float, scores: dict[str, float], steps_s: float) -> None:
        now, options = self.progress, self.options
        now.epoch, now.batch, now.losses, now.spent_s = now.epoch + 1, 0, [], 0.0
        seen_px = self.steps_an_epoch * options.batch_size * self.patches.rows * self.patches.columns
        rate = seen_px / self.image_px / steps_s if steps_s else 0.0
        now.history.append(
            {
                "epoch": now.epoch,
                "loss": loss,
                **scores,
                "learning_rate": float(self.optimizer.rate.numpy()),
                "seconds": round(steps_s, 3),
                "images_per_s": round(rate, 3),
            }
        )
        if scores["segMeasure"] > now.best_score:
            now.best_epoch, now.best_score = now.epoch, scores["segMeasure"]
            self.best = _values(self.network.variables) if options.keep == "best" else []
        elif options.schedule == "plateau" and now.epoch - max(now.best_epoch, now.reduced_at) >= PLATEAU_EPOCHS:
            now.rate, now.reduced_at = now.rate / 2, now.epoch
        spent_s = self.clock.laps.get("steps", 0.0) + self.clock.laps.get("validate", 0.0)
        left_s = spent_s / now.epoch * (options.epochs - now.epoch)
        print(
            f"epoch {now.epoch}/{options.epochs}  loss {loss:.5f}  segMeasure {scores['segMeasure']:.4f}  "
            f"{rate:.2f} images/s  {left_s:.0f} s left",
            flush=True,
        )

    def _ended_early(self) -> bool:
        now, patience = self.progress, self.options.early_stopping
        return bool(patience) and now.epoch - now.best_epoch >= patience

    def _save(self) -> None:
        self.progress.seconds = self.clock.laps
        arrays = {"network": _values(self.network.variables), "optimizer": _values(self.optimizer.variables)}
        checkpoint.save(self.path, self.identity, self.progress, {**arrays, "best": self.best})

    def _resume(self) -> None:
        found = checkpoint.load(self.path, self.identity)
        if found is None:
            if self.path.exists():
                print(f"{self.path.name} is of another training: starting anew", flush=True)
            return
        self.progress, arrays = found
        self.progress.resumed += 1
        _assign(self.network.variables, arrays["network"])
        _assign(self.optimizer.variables, arrays["optimizer"])
        self.best = arrays.get("best", [])
        self.clock.add(self.progress.seconds)
        print(f"going on after epoch {self.progress.epoch}, batch {self.progress.batch}", flush=True)


def _values(variables: list[Any]) -> checkpoint.Arrays:
    return [variable.numpy() for variable in variables]


def _assign(variables: list[Any], values: checkpoint.Arrays) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
