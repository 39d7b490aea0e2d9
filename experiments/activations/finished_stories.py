"""Write two sets of prompts: stories that are whole, and the same stories cut behind a sentence.

    python experiments/activations/finished_stories.py FOLDER

The stories are those that `a-small-dpo` tells on the validation requests, one each; what a model
would say next is the end of the answer in `whole.jsonl`, and one more sentence in `cut.jsonl`.
"""

import json
import re
import sys
from pathlib import Path

from trimtab import Generation, LanguageModel, Plain
from trimtab.tasks import Stories

SENTENCE = re.compile(r"[^.]*\.")


def main(folder: Path) -> None:
    """Write the two files."""
    teller = Plain(model=LanguageModel(path="zoo:a-small-dpo", prompt="chat"))
    requests = {sample.id: sample.conversation for sample in Stories(split="validation").samples()}
    sampled = Generation(temperature=1.0, batch_size=50)
    whole, cut = [], []
    for done in sorted(teller.stream(requests, sampled), key=lambda done: done.id):
        asked = {"question": requests[done.id].question}
        sentences = SENTENCE.findall(done.text)
        if done.stop_reason == "end" and "".join(sentences) == done.text:
            whole.append({**asked, "answer_start": done.text})
            for count in range(1, len(sentences)):
                cut.append({**asked, "answer_start": "".join(sentences[:count])})
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("whole", whole), ("cut", cut)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
