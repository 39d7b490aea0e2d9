"""Speakers at work: their models as predictors, and the cursors of each sample's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from trimtab.decoding.generation import Generation
from trimtab.decoding.local import LocalPredictor
from trimtab.decoding.memo import Memo
from trimtab.decoding.predictor import Cursor, Cursors, Prediction, Predictor
from trimtab.decoding.retelling import Retelling
from trimtab.decoding.speakers import Speaker
from trimtab.models.language_model import LanguageModel
from trimtab.models.shared_weights import share
from trimtab.models.steering import Gate
from trimtab.models.vocabulary import answering


class Speaking:
    """Those who speak in the answers to each sample, which several methods give together.

    Args:
        speakers: of each method, by name; they differ in weights and in how these are combined.
        generation: how answers are drawn.
        all_models: run all models of the speakers, whatever their weights: those who come later,
            with `speakers` of their own, may give others.
    """

    def __init__(
        self,
        speakers: Sequence[Mapping[str, Speaker]],
        generation: Generation,
        *,
        all_models: bool = False,
    ) -> None:
        self._speakers = speakers
        self._generation = generation
        self._all_models = all_models
        share(model for speaker in speakers[0].values() for model in speaker.models.values())
        self._predictors = {
            name: self._predictor(name, [each[name] for each in speakers]) for name in speakers[0]
        }

    def _predictor(self, name: str, alike: Sequence[Speaker]) -> Predictor:
        first, run = alike[0], {role for speaker in alike for role in speaker.weights}
        run |= first.models.keys() if self._all_models else set()
        models = {role: model for role, model in first.models.items() if role in run}
        maps = {role: own for role, own in first.maps.items() if role in run}
        if maps:
            target = answering(first.models)
            models = {target: models.pop(target)} | models
        name = first.draws_like or name
        for role, model in models.items():
            elsewhere: Predictor | None = model.predictor(role, name, self._generation)
            if elsewhere is not None:
                _require_alone(role, model, models, alike)
                return elsewhere
        return LocalPredictor(
            models,
            name=name,
            generation=self._generation,
            reference=first.reference,
            together=len(alike),
            reads_ahead=first.reads_ahead,
            steering={role: give() for role, give in first.steering.items()},
            maps=maps,
        )

    @property
    def predictors(self) -> list[Predictor]:
        """All predictors, the small ones first.

        A large one then runs when all rows wait for it, in full batches.
        """
        predictors = list(self._predictors.values())
        if len(predictors) > 1:
            predictors.sort(key=lambda predictor: predictor.size)
        return predictors

    def forward_passes(self) -> dict[str, int]:
        """Return the forward passes run so far, by role."""
        total: Counter[str] = Counter()  # a model may be part of several speakers
        for predictor in self._predictors.values():
            total.update(predictor.forward_passes())
        return dict(total)

    def cursors(
        self,
        sample_id: str,
        prompts: Mapping[int, Mapping[str, list[int]]],
        texts: Mapping[int, Mapping[str, str]],
        slots: Mapping[int, int],
        strengths: Mapping[int, tuple[float, ...]],
        speakers: Sequence[Mapping[str, Speaker]] | None = None,
        generation: Generation | None = None,
    ) -> dict[int, Cursors]:
        """Return where each method begins to answer a sample.

        Args:
            sample_id: the sample.
            prompts: the prompts' tokens by role, by the number of each answer's method.
            texts: their texts.
            slots: where each answer is kept, by the number of its method.
            strengths: how much each answer's models are steered, by the number of its method.
            speakers: of each method; None for those that all began with.
            generation: how these answers are drawn; None as all.
        """
        speakers, drawn = speakers or self._speakers, generation or self._generation
        memos: dict[Hashable, Memo[Prediction]] = {}  # of those who say the same
        gates: dict[Hashable, Gate] = {}  # of those who are asked the same, at any strength

        def cursor(method: int, name: str, speaker: Speaker) -> Cursor:
            steered = strengths[method] if speaker.steering else ()
            whose = speakers[method][speaker.draws_like or name]
            weights, own = speaker.weights, prompts[method]
            asked = tuple(tuple(own[role]) for role in weights)
            shut = {role: tuple(own[role]) for role in speaker.steering}
            alike = name, tuple(weights.items()), id(speaker.combine), steered, asked
            made = Cursor(
                self._predictors[name],
                slot=slots[method],
                siblings=tuple(slots.values()),
                sample_id=sample_id,
                prompts=own,
                seed=drawn.seed,
                weights=weights,
                combine=speaker.combine,
                strengths=steered,
                gates={r: gates.setdefault((name, r, p), Gate(p)) for r, p in shut.items()},
                memo=memos.setdefault(alike, Memo()),
                said_before=[own[role] for role in whose.models if role not in whose.maps],
                retellings=_retellings(speaker, texts[method], own),
            )
            made.drawing = drawn.drawing
            return made

        return {
            method: {n: cursor(method, n, s) for n, s in speakers[method].items()}
            for method in slots
        }


def _retellings(
    speaker: Speaker, texts: Mapping[str, str], prompts: Mapping[str, list[int]]
) -> dict[str, Retelling]:
    """Return an answer as those of a speaker's models read it that have another vocabulary."""
    weights = speaker.weights
    target = next(iter(weights))  # whose tokens the answer is made of
    return {
        role: Retelling(speaker.models[role], texts[role], speaker.models[target], prompts[target])
        for role in weights
        if role in speaker.maps
    }


def _require_alone(
    role: str, model: LanguageModel, models: Mapping[str, LanguageModel], alike: Sequence[Speaker]
) -> None:
    """Refuse to do anything to what a model says that predicts by itself."""
    what = f"{role} ({model.path}) predicts by itself ({type(model).__name__})"
    if len(models) > 1:
        raise ValueError(
            f"{what}: it can speak alone, but not in a mixture of {', '.join(models)}."
        )
    for speaker in alike:
        done = {
            f"a weight of {speaker.weights[role]:g}": speaker.weights[role] != 1,
            "combine()": speaker.combine is not None,
            "steering": bool(speaker.steering),
        }
        if refused := [name for name, is_asked in done.items() if is_asked]:
            raise ValueError(f"{what}: it speaks as it is, without {' and '.join(refused)}.")
