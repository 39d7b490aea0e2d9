"""Tasks: samples to answer, and rules that score the answers.

Names are imported when they are used: a command needs one or two of them.
"""

from typing import TYPE_CHECKING

from trimtab.machine.lazy_names import lazily

if TYPE_CHECKING:
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

_MODULES = {
    "trimtab.tasks.advice": ("Advice",),
    "trimtab.tasks.arithmetic": (
        "GSM8K",
        "SVAMP",
        "MultiArith",
    ),
    "trimtab.tasks.domain_advice": ("DomainAdvice",),
    "trimtab.tasks.just_eval": (
        "JustEval",
        "JustEvalSafety",
    ),
    "trimtab.tasks.multiple_choice": (
        "MMLU",
        "ARCChallenge",
        "CommonsenseQA",
    ),
    "trimtab.tasks.question_answer": ("QuestionAnswer",),
    "trimtab.tasks.reasoning": (
        "LastLetters",
        "WordProblems",
    ),
    "trimtab.tasks.short_answers": (
        "Date",
        "LastLetterConcat",
    ),
    "trimtab.tasks.stored_responses": ("StoredResponses",),
    "trimtab.tasks.stories": ("Stories",),
    "trimtab.tasks.task": (
        "Sample",
        "Score",
        "Task",
    ),
    "trimtab.tasks.yes_no_questions": (
        "CoinFlip",
        "Sports",
        "StrategyQA",
    ),
}
__getattr__ = lazily(__name__, {n: module for module, names in _MODULES.items() for n in names})
