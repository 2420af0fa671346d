"""A network and images → the decision, and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from trainer.data.samples import PreparedImage
from trainer.network.predict import predict_probabilities, predict_views
from trainer.scoring.instances import Decision, Probabilities, choose_decision, find_nuclei
from trainer.scoring.seg import AnyLabels, score
from trainer.training.clock import Clock
from trainer.training.options import UNDO, Options


@dataclass(frozen=True)
class Evaluation:
    """Predicts and scores with one network.

    Attributes
    ----------
    network : keras.Model
    options : Options
    least_px : int
        Smaller nuclei are dropped.
    """

    network: Any
    options: Options
    least_px: int

    def predict(self, images: Sequence[PreparedImage], *, tta: bool = False) -> list[Probabilities]:
        """Predict whole images; with `tta` the mean of their eight views."""
        predict_one = predict_views if tta else predict_probabilities
        return [predict_one(self.network, self.options.shape.depth, image.image) for image in images]

    def choose(
        self, images: Sequence[PreparedImage], predicted: Sequence[Probabilities], *, thresholds: bool
    ) -> tuple[Decision, dict[str, Any]]:
        """Choose the decision that suits these images best: see `choose_decision`.

        Returns
        -------
        Decision, dict
            The decision, and the scores by it; see `seg.score`.
        """
        weights = self.options.weights

        @cache
        def scores_by(decision: Decision) -> dict[str, Any]:
            return score(
                {
                    image.name: (image.labels, find_nuclei(probabilities, decision, weights))
                    for image, probabilities in zip(images, predicted, strict=True)
                }
            )

        undo = UNDO[self.options.undo_weights] if len(set(weights)) > 1 else (False,)
        first = [Decision(undo_weights=value, least_px=self.least_px) for value in undo]
        decision = choose_decision(scores_by, first, thresholds=thresholds)
        return decision, scores_by(decision)

    def score_unseen(
        self, images: Sequence[PreparedImage], decision: Decision, clock: Clock
    ) -> tuple[dict[str, Any] | None, dict[str, AnyLabels]]:
        """Score images that no choice has seen, one after the other.

        Returns
        -------
        dict or None, dict
            The scores, and the predicted label images by name. None where the images have no object to score.
        """
        if not any(image.labels.any() for image in images):
            return None, {}
        pairs = {}
        for image in images:
            [probabilities] = self.predict([image], tta=self.options.tta)
            clock.lap("predict")
            pairs[image.name] = (image.labels, find_nuclei(probabilities, decision, self.options.weights))
            clock.lap("score")
        return score(pairs), {name: predicted for name, (_, predicted) in pairs.items()}
