"""A network and images → the decision, and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trainer.data.samples import PreparedImage
from trainer.network.predict import predict_image
from trainer.scoring.instances import Decision, Probabilities, choose_decision, find_nuclei
from trainer.scoring.seg import AnyLabels, Judged, judge, score
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
        depth = self.options.shape.depth
        return [predict_image(self.network, depth, image.image, scale=image.scale, tta=tta) for image in images]

    def choose(
        self,
        images: Sequence[PreparedImage],
        predicted: Sequence[Probabilities],
        *,
        thresholds: bool,
        trained_on: Sequence[PreparedImage] = (),
    ) -> tuple[Decision, dict[str, Any]]:
        """Choose the decision that suits these images best: see `choose_decision`.

        Parameters
        ----------
        images, predicted : sequence
            The validation images, and their probabilities.
        thresholds : bool
            Choose the thresholds too, and not only whether the weights are undone.
        trained_on : sequence of PreparedImage
            Images that were trained on, which decide as well. They are predicted at the size that they have.

        Returns
        -------
        Decision, dict
            The decision, and the scores by it on the validation images; see `seg.score`.
        """
        weights = self.options.weights
        of_trained = [
            (image, predict_image(self.network, self.options.shape.depth, image.image, tta=self.options.tta))
            for image in trained_on
        ]

        @lru_cache(maxsize=2)  # those of an epoch, to undo the weights or not; a search has dozens
        def labels_by(decision: Decision) -> list[AnyLabels]:
            return [find_nuclei(probabilities, decision, weights) for probabilities in predicted]

        def judged(decision: Decision) -> Judged:
            pairs = [(image.labels, labels) for image, labels in zip(images, labels_by(decision), strict=True)]
            pairs += [
                (image.labels, find_nuclei(probabilities, decision.scaled(image.scale), weights))
                for image, probabilities in of_trained
            ]
            return judge(pairs)

        undo = UNDO[self.options.undo_weights] if len(set(weights)) > 1 else (False,)
        first = [Decision(undo_weights=value, least_px=self.least_px) for value in undo]
        decision = choose_decision(judged, first, thresholds=thresholds)
        names = [image.name for image in images]
        truths = [image.labels for image in images]
        return decision, score(dict(zip(names, zip(truths, labels_by(decision), strict=True), strict=True)))

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
