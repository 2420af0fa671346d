"""A network and pictures → how to decide, and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.prepare import Picture
from trainer.network.predict import probabilities
from trainer.scoring import instances
from trainer.scoring.instances import Decision, Probabilities
from trainer.scoring.seg import score
from trainer.training.clock import Clock
from trainer.training.options import UNDO, Options


@dataclass(frozen=True)
class Evaluation:
    """Predicts and scores with one network.

    Attributes
    ----------
    network : keras.Model
    options : Options
    """

    network: Any
    options: Options

    def predict(self, pictures: Sequence[Picture]) -> list[Probabilities]:
        """Predict whole pictures."""
        return [probabilities(self.network, self.options.shape.depth, one.image) for one in pictures]

    def choose(
        self, pictures: Sequence[Picture], predicted: Sequence[Probabilities], *, thresholds: bool
    ) -> tuple[Decision, dict[str, Any]]:
        """Choose how to decide by these pictures' own score.

        Returns
        -------
        Decision, dict
            And the scores by it, see `score.score`.
        """
        weights = self.options.weights

        @cache
        def scores(decision: Decision) -> dict[str, Any]:
            return score(
                {
                    one.name: (one.labels, instances.instances(chances, decision, weights))
                    for one, chances in zip(pictures, predicted, strict=True)
                }
            )

        undo = UNDO[self.options.undo_weights] if len(set(weights)) > 1 else (False,)
        decision = instances.choose(lambda one: float(scores(one)["segMeasure"]), undo, thresholds=thresholds)
        return decision, scores(decision)

    def judge(
        self, pictures: Sequence[Picture], decision: Decision, clock: Clock
    ) -> tuple[dict[str, Any] | None, dict[str, NDArray[np.integer]]]:
        """Score pictures that no choice has seen, one after the other; None where they have no object to score.

        Returns
        -------
        dict or None, dict
            The scores, and what was found: name → label image.
        """
        if not any(one.labels.any() for one in pictures):
            return None, {}
        made = {}
        for one in pictures:
            [chances] = self.predict([one])
            clock.lap("predict")
            made[one.name] = (one.labels, instances.instances(chances, decision, self.options.weights))
            clock.lap("score")
        return score(made), {name: found for name, (_, found) in made.items()}
