"""The batch that is never closed: requests join it between two passes, and leave it as they end."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from trimtab.config.wording import not_a_choice
from trimtab.decoding import Completion, Generation
from trimtab.decoding.batching import decode
from trimtab.decoding.generation import LEAST_ROWS
from trimtab.decoding.predictor import Answer, Cursors
from trimtab.decoding.telling import News
from trimtab.methods import Method, Piece
from trimtab.methods.decode_together import checked_answer, say_what_is_left_out
from trimtab.methods.prompts import Prompts, require_room
from trimtab.methods.tries import added_up
from trimtab.models import Conversation

if TYPE_CHECKING:
    from trimtab.decoding.speaking import Speaking

Start = Callable[[Sequence[int]], dict[int, Answer]]
"""What begins an answer, in a slot that it is given."""
Item = Piece | Completion | BaseException
"""What comes of an answer."""


class Full(Exception):
    """So many requests wait already that another one would wait too long."""


class Closed(Exception):
    """The engine answers nobody any more."""


class Asked(Iterator[Piece | Completion]):
    """One answer that is waited for: its pieces as they are settled, then its completion.

    Args:
        method: answers, with its dials where this answer has them.
        prompts: what it is asked.
        generation: how the answer is drawn.
        listener: is told each item, the error that ends it among them, in place of this iterator;
            called in the engine's thread, and not for long.
    """

    def __init__(
        self,
        method: Method,
        prompts: Prompts,
        generation: Generation,
        listener: Callable[[Item], None] | None = None,
    ) -> None:
        self.method, self.prompts, self.generation = method, prompts, generation
        self.given_up = False
        self._items = SimpleQueue[Item | None]()
        self._tell = listener or self._items.put
        self._told = 0

    def __next__(self) -> Piece | Completion:
        """Return what comes next, once it is there.

        Raises:
            Exception: what went wrong with this answer, or in a pass that it shared.
        """
        item = self._items.get()
        if item is None:
            self._items.put(None)  # for whoever asks again
            raise StopIteration
        if isinstance(item, BaseException):
            raise item
        return item

    def give_up(self) -> None:
        """Let the answer be: no pass is run for it any more, and its place is free."""
        self.given_up = True
        self._items.put(None)

    def told(self, news: News) -> None:
        """Take pieces that are settled."""
        self._told += len(news.spans)
        for span in news.spans:
            self._tell(Piece(self.prompts.sample_id, span))

    def ended(self, found: Completion | BaseException) -> None:
        """Take the completion, or what went wrong."""
        if isinstance(found, Completion):
            for span in found.trace[self._told :]:
                self._tell(Piece(self.prompts.sample_id, span))
        self._tell(found)
        self._items.put(None)


class Engine:
    """A method that answers whoever asks, each by a dial and settings of one's own.

    The answers are those of `Method.complete` for each question alone, whatever is answered beside
    it (in float32). It works in a thread of its own; all that is public can be called from any.

    Args:
        method: answers; one that decodes as it is asked, and gives no best of several.
        rows: how many answers are made at a time.
        waiting: how many more may wait.

    Raises:
        ValueError: for a method that cannot answer so, and for models that do not go together.
    """

    def __init__(self, method: Method, *, rows: int = 16, waiting: int = 64) -> None:
        _require_one_answer(method)
        method.require_compatible()
        for model in method.all_models.values():
            model.require_loadable()
        self.method = method
        self._rows, self._waiting = rows, waiting
        self._queue = SimpleQueue[Asked | None]()
        self._active: dict[int, Asked] = {}
        self._closing = False
        self._speaking: Speaking | None = None
        self._thread = threading.Thread(target=self._run, name="trimtab engine", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def prepare(self) -> None:
        """Load what is needed, as the first answer else does; before the engine begins."""
        self._speaking = self._loaded()

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def busy(self) -> int:
        """How many answers are being made, or wait to be."""
        return len(self._active) + self._queue.qsize()

    def close(self) -> None:
        """Give up what is open, and end."""
        self._closing = True
        self._queue.put(None)
        self._thread.join()

    def ask(
        self,
        question: str | Conversation,
        generation: Generation | None = None,
        dials: Mapping[str, Any] | None = None,
        *,
        sample_id: str = "0",
        listener: Callable[[Item], None] | None = None,
    ) -> Asked:
        """Ask, and return the answer that is on its way.

        Args:
            question: a conversation; text is one of a question alone.
            generation: how the answer is drawn; its batch size has no part.
            dials: the method's, where they differ from what it was made with.
            sample_id: what the draws are known by, beside their seed; several answers to one
                question need several. `Method.complete` gives the numbers of its questions.
            listener: see `Asked`.

        Raises:
            ValueError: for dials that the method has not, or values that it refuses, for settings
                that it does not honour, and for a prompt that leaves no room.
            Full: if too many wait.
            Closed: after the end.
        """
        if self._closing:
            raise Closed("The engine has ended.")
        if self._queue.qsize() >= self._waiting:
            raise Full(f"{self._waiting} wait already.")
        generation = generation or Generation()
        for name in dials or ():
            if name not in self.method.dials:
                raise ValueError(not_a_choice("dials:", name, self.method.dials))
        method = self.method.turned(dials) if dials else self.method
        _require_one_answer(method)
        if generation.draws > 1 or generation.token_records:
            raise ValueError(
                f"draws={generation.draws}, token_records={generation.token_records}: these are of "
                "a run's record. Leave them at 1 and false; ask several times for several answers."
            )
        if dials and not self.method.goes_with(method):
            raise ValueError(
                f"dials: {type(method).__name__} changes its models with them, so that each answer "
                "cannot have its own. Vectors can, with method.per_row=true."
            )
        if isinstance(question, str):
            question = Conversation(question=question)
        (prompts,) = method.prompts({sample_id: question}).values()
        require_room({sample_id: prompts}, method.models)
        method.require(generation)
        asked = Asked(method, prompts, generation, listener)
        self._queue.put(asked)
        return asked

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while not self._closing:
            first = self._queue.get()
            if first is None:  # woken to end
                break
            try:
                self._speaking = self._speaking or self._loaded()
                self._answer(first, self._speaking)
            except BaseException as error:  # those who waited for this pass are told
                for asked in {first, *self._active.values()}:
                    asked.ended(error)
                self._speaking = None  # what it holds of their answers is not known
            self._active.clear()
        while not self._queue.empty():
            if late := self._next():
                late.ended(Closed("The engine has ended."))

    def _loaded(self) -> Speaking:
        from trimtab.decoding.speaking import Speaking  # imports torch

        usual = Generation(batch_size=max(self._rows, LEAST_ROWS))
        say_what_is_left_out(self.method, usual)
        with self.method.loading.running():
            return Speaking([self.method.speakers()], usual, all_models=True)

    def _answer(self, first: Asked, speaking: Speaking) -> None:
        """Answer a request, and those that come before all are answered."""
        begun: dict[int, Cursors] = {}

        def begin(asked: Asked) -> Start:
            def answers(free: Sequence[int]) -> dict[int, Answer]:
                if asked.given_up:
                    return {}
                slot, prompts, method = free[0], asked.prompts, asked.method
                self._active[slot] = asked  # from here on it is told of what goes wrong
                begun[slot] = speaking.cursors(
                    prompts.sample_id,
                    {0: prompts.tokens},
                    {0: prompts.text},
                    {0: slot},
                    {0: method.strengths_for(prompts)},
                    [method.speakers()],
                    asked.generation,
                )[0]
                for cursor in begun[slot].values():
                    cursor.streamed = True
                return {slot: checked_answer(method, begun[slot], prompts, asked.generation)}

            return answers

        rows, coming = self._rows, _Coming(first, self._next, begin)
        for slot, item in decode(coming, speaking.predictors, rows, given_up=self._is_given_up):
            asked = self._active[slot]
            if isinstance(item, News):
                asked.told(item)
                continue
            del self._active[slot]
            work = added_up(cursor.whole_work for cursor in begun[slot].values())
            name, texts = asked.prompts.sample_id, asked.prompts.text
            asked.ended(dataclasses.replace(item, id=name, prompts=texts, work=work))

    def _is_given_up(self, slot: int) -> bool:
        asked = self._active[slot]
        if self._closing:
            asked.ended(Closed("The engine has ended."))
        if self._closing or asked.given_up:
            del self._active[slot]
            return True
        return False

    def _next(self) -> Asked | None:
        """Return who waits longest; None where nobody does."""
        try:
            return self._queue.get_nowait()
        except Empty:
            return None


def _require_one_answer(method: Method) -> None:
    if method.tries > 1:
        raise ValueError(
            f"{type(method).__name__} gives the best of {method.tries} answers, which are there "
            "only at the end. Serve the method that makes them."
        )


class _Coming(Iterator[Start]):
    """The starts of those who ask. It ends where nobody waits, and goes on where somebody does."""

    def __init__(
        self,
        first: Asked,
        following: Callable[[], Asked | None],
        begin: Callable[[Asked], Start],
    ) -> None:
        self._first: Asked | None = first
        self._following, self._begin = following, begin

    def __next__(self) -> Start:
        asked, self._first = self._first or self._following(), None
        if asked is None:
            raise StopIteration
        return self._begin(asked)
