"""What of a model's output is its answer: without its thinking, and without the tokens of chats."""

import html
import re

# Where models think, by the names of the blocks: Qwen, DeepSeek and many more; Magistral; Kimi;
# Sky-T1; Command; Seed; MedGemma.
_NAMES = r"(?:\w+:)?(?:think(?:ing)?|thoughts?|analysis|reason(?:ing)?|reflection|scratchpad)"
_OPENS = re.compile(
    rf"<\s?{_NAMES}(?:\s[^<>\n]{{0,40}})?>|\[think\]|◁think▷|<\|begin_of_thought\|>|<\|start_thinking\|>|<unused94>thought\b",
    re.I,
)
_CLOSES = re.compile(
    rf"<\s?/\s?{_NAMES}\s?>|\[/think\]|◁/think▷|<\|end_of_thought\|>|<\|end_thinking\|>"
    r"|<unused95>",
    re.I,
)
# gpt-oss answers in channels; without its special tokens their names are left in the text.
_FINAL_CHANNEL = re.compile(
    r".*(?:<\|channel\|>\s*final\b[^<]*<\|message\|>|(?<=assistant)final(?=\W|[A-Z0-9]))", re.S
)
_OTHER_CHANNEL = re.compile(r"<\|channel\|>\s*(?:analysis|commentary)\b.*", re.S)
_SPOKEN_CHANNEL = re.compile(r"\s*analysis(?=\W|[A-Z0-9]).*?assistantfinal(?=\W|[A-Z0-9])", re.S)
_ESCAPED = re.compile(r"&(?:lt|gt|amp|quot|apos|nbsp|#[0-9]{1,6}|#x[0-9a-f]{1,5});", re.I)
# Tokens that end a turn, and others that a chat consists of.
_END = re.compile(
    r"<\|user\|>|<\|start_header_id\|>user\b|<start_of_turn>user\b|<\|im_start\|>(?!assistant)|"
    r"</s>|<eos>|<end_of_turn>|<\uff5cend\u2581of\u2581sentence\uff5c>"
    r"|<\|(?:im_end|end|return|eot|eot_id|eom_id|endoftext|end_of_text|end_of_turn_token)\|>",
    re.I,
)
_TOKEN = re.compile(
    r"<\|im_start\|>assistant\b|<start_of_turn>model\b|<\|[a-z_]{1,40}\|>|<s>|<bos>", re.I
)


def without_thinking(text: str) -> str:
    """Return what a model says beside its thinking, to where it ends its turn.

    What stands in `<think>...</think>` and the like is left out, and what stands before a
    `</think>` that nothing opens; a block that is not closed goes on to the end.
    """
    text = _ESCAPED.sub(lambda found: html.unescape(found[0]), text)
    spoken = _SPOKEN_CHANNEL.match(text)
    final = _FINAL_CHANNEL.match(text) if "<|channel|>" in text else spoken
    text = text[final.end() :] if final else _OTHER_CHANNEL.sub("", text)
    closes = list(_CLOSES.finditer(text))
    parts, position = [], 0
    for opened in _OPENS.finditer(text):
        if opened.start() < position:
            continue
        closed = next((one for one in closes if one.start() >= opened.end()), None)
        parts.append(text[position : opened.start()])
        position = closed.end() if closed else len(text)
    text = "\n".join([*parts, text[position:]])
    *_, said = _CLOSES.split(text)
    for part in _END.split(said):
        if part.strip():
            return _TOKEN.sub("", part)
    return ""
