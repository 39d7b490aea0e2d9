"""Tasks: samples to answer, and rules that score the answers."""

from trimtab.tasks.advice import Advice
from trimtab.tasks.question_answer import QuestionAnswer
from trimtab.tasks.reasoning import LastLetters, WordProblems
from trimtab.tasks.stories import Stories
from trimtab.tasks.task import Sample, Score, Task

__all__ = [
    "Advice",
    "LastLetters",
    "QuestionAnswer",
    "Sample",
    "Score",
    "Stories",
    "Task",
    "WordProblems",
]
