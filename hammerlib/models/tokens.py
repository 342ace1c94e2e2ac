"""From a prompt to token ids: one function for embedding, evaluation, training and the study.

The rule is what TRL and vLLM do, made whole:

* ``raw``: the tokenizer's own special tokens **before** the text (BOS, once), never those behind it. A
  tokenizer that appends EOS would have the model continue a text that has ended.
* ``chat``: the chat template alone says which special tokens there are; nothing is added to what it writes.
  Where it has no BOS, there is none, whatever the tokenizer adds to plain text.

Nothing is cut off and nothing is padded here, whatever the tokenizer's files say; models refuse what is too
long for them, and each caller pads on the side that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hammerlib.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATES = ("raw", "chat")
PROBE = "Tom has 12 apples."  # to see what a tokenizer adds around a text


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str | list[dict[str, Any]]],
    template: str = "raw",
    *,
    names: Sequence[str] | None = None,
) -> list[list[int]]:
    """Return the token ids that a model reads for some prompts.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    prompts : sequence of str, or of lists of turns
        Problem texts; for ``chat`` also conversations, ``[{"role": "user", "content": "..."}]``.
    template : {"raw", "chat"}
        The text as it is, or as the user's turn of the chat template, ready for the assistant's answer.
    names : sequence of str, optional
        Ids of the prompts, for error messages; default their places.

    Returns
    -------
    list of list of int
        Neither cut nor padded, each with at least one token.

    Raises
    ------
    InputError
        Unknown template, a tokenizer without a chat template, a template that refuses the prompt, or a prompt
        without a token.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> tokenizer = load_backbone("nano").tokenizer
    >>> tokenizer.decode(prompt_ids(tokenizer, ["3 + 4 ="])[0])
    '3 + 4 ='
    """
    texts = render_prompts(tokenizer, prompts, template)
    if not texts:
        return []
    if template == "chat":
        rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    else:
        head, tail = _added(tokenizer)
        rows = [row[: len(row) - tail] for row in tokenizer(texts)["input_ids"]]
        # A text that brings the tokenizer's own BOS along is not given a second one.
        rows = [row[head:] if head and row[:head] == row[head : 2 * head] else row for row in rows]
    empty = [number for number, row in enumerate(rows) if not row]
    if empty:
        shown_names = [names[number] if names is not None else number for number in empty[:5]]
        problem = f"{len(empty)} prompts have no token for this tokenizer"
        raise InputError("prompts", shown_names, problem, "fill or remove them")
    return rows


def template_of(prompt: str | list[dict[str, Any]]) -> str:
    """Return the template that a prompt is for: a list of turns goes through the chat template."""
    return "raw" if isinstance(prompt, str) else "chat"


def render_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str | list[dict[str, Any]]], template: str
) -> list[str]:
    """Return the texts that a model reads for some prompts."""
    if not isinstance(template, str) or template not in TEMPLATES:
        raise InputError("template", template, "unknown template", "use raw or chat")
    for prompt in prompts:
        if not isinstance(prompt, str) and not (template == "chat" and isinstance(prompt, list)):
            raise InputError("prompts", prompt, f"is no text for the template {template}", "give a str")
    if template == "raw":
        return list(prompts)
    if not tokenizer.chat_template:
        raise InputError("template", template, "the tokenizer has no chat template", "use template=raw")
    texts = []
    try:
        for prompt in prompts:
            turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            texts.append(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except Exception as error:  # templates are programs: jinja2's errors, and Python's from inside of them
        problem = f"the chat template fails ({type(error).__name__}: {' '.join(str(error).split())[:120]})"
        raise InputError("template", template, problem, "mend the template, or use template=raw") from error
    return texts


def _added(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """How many special tokens the tokenizer puts before and behind a text."""
    marks = tokenizer(PROBE, return_special_tokens_mask=True)["special_tokens_mask"]
    if all(marks):
        raise InputError("tokenizer", PROBE, "has no token for this text", "check the tokenizer's files")
    return marks.index(0), marks[::-1].index(0)
