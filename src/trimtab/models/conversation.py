"""What is asked, before any model renders it in its own way."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Conversation:
    r"""The pieces of a prompt.

    A base model reads `{system}\n{context}{question_prefix}{question}\n{answer_start}` as plain
    text. A chat model gets `system` as its system message, `{context}{question_prefix}{question}`
    as the user's message, both through its own chat template, and then `answer_start`.
    """

    question: str
    system: str = ""
    context: str = ""
    question_prefix: str = ""
    answer_start: str = ""

    @property
    def user(self) -> str:
        """The user's message: context, prefix and question."""
        return f"{self.context}{self.question_prefix}{self.question}"
