"""Tasks: samples to answer, and rules that score the answers."""

from trimtab.tasks.advice import Advice
from trimtab.tasks.arithmetic import GSM8K, SVAMP, MultiArith
from trimtab.tasks.domain_advice import DomainAdvice
from trimtab.tasks.just_eval import JustEval, JustEvalSafety
from trimtab.tasks.multiple_choice import MMLU, ARCChallenge, CommonsenseQA
from trimtab.tasks.question_answer import QuestionAnswer
from trimtab.tasks.reasoning import LastLetters, WordProblems
from trimtab.tasks.short_answers import Date, LastLetterConcat
from trimtab.tasks.stored_responses import StoredResponses
from trimtab.tasks.stories import Stories
from trimtab.tasks.task import Sample, Score, Task
from trimtab.tasks.yes_no_questions import CoinFlip, Sports, StrategyQA

__all__ = [
    "GSM8K",
    "MMLU",
    "SVAMP",
    "ARCChallenge",
    "Advice",
    "CoinFlip",
    "CommonsenseQA",
    "Date",
    "DomainAdvice",
    "JustEval",
    "JustEvalSafety",
    "LastLetterConcat",
    "LastLetters",
    "MultiArith",
    "QuestionAnswer",
    "Sample",
    "Score",
    "Sports",
    "StoredResponses",
    "Stories",
    "StrategyQA",
    "Task",
    "WordProblems",
]
