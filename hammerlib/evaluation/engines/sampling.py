"""How completions are drawn: the law, each sample's own random numbers, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hammerlib.errors import InputError, check_whole
from hammerlib.runs.storage import content_hash

if TYPE_CHECKING:
    from hammerlib.backbones import Backbone


class Sampling(NamedTuple):
    """How completions are drawn.

    Attributes
    ----------
    temperature : float
        0 is greedy.
    top_p : float
        Nucleus in (0, 1]; 1 is all of the distribution. Never a top-k cut.
    max_new_tokens : int
        Length limit in tokens.
    seed : int
        With the problem's id and the sample's number it gives each sample random numbers of its own.
    stop : tuple of str
        Texts that end a completion beside the end token, and are cut off it with all behind them.

    Examples
    --------
    >>> Sampling(1.0, 1.0, 48, 0).stop
    ()
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    stop: tuple[str, ...] = ()

    def check(self) -> Sampling:
        """Return itself; InputError for a value out of range."""
        if not 0 <= self.temperature < float("inf"):
            raise InputError("temperature", self.temperature, "must be 0 (greedy) or more", "use 1.0")
        if not 0 < self.top_p <= 1:
            raise InputError("top_p", self.top_p, "must lie in (0, 1]", "use 1.0 for the whole distribution")
        check_whole("max_new_tokens", self.max_new_tokens, 1, "use 48 or more")
        if not all(self.stop):
            raise InputError("stop", self.stop, "holds an empty text", "leave it out")
        return self


class Completion(NamedTuple):
    """One sampled completion.

    Attributes
    ----------
    text : str
        Without special tokens, and without the stop text.
    n_tokens : int
        Tokens generated, those of the end included.
    truncated : bool
        True when the length limit came before the end.

    Examples
    --------
    >>> Completion("7", 2, False).n_tokens
    2
    """

    text: str
    n_tokens: int
    truncated: bool


def sample_seed(seed: int, name: str, sample: int) -> int:
    """Return the seed of one sample, the same wherever and beside whatever it is drawn.

    Parameters
    ----------
    seed : int
        Of the run.
    name : str
        Problem id.
    sample : int
        Its number, from 0.

    Returns
    -------
    int
        128 bits of a hash.

    Examples
    --------
    >>> sample_seed(0, "aime24-3", 0) == sample_seed(0, "aime24-3", 0)
    True
    """
    return int(content_hash(seed, name, sample)[:32], 16)


def uniforms(sampling: Sampling, names: Sequence[tuple[str, int]]) -> np.ndarray:
    """Return each sample's own stream of random numbers.

    Parameters
    ----------
    sampling : Sampling
        Seed and length limit.
    names : sequence of (str, int)
        Problem id and sample number.

    Returns
    -------
    (len(names), max_new_tokens) float64
        In [0, 1), from the counter-based generator Philox: the same on every device.

    Examples
    --------
    >>> both = uniforms(Sampling(1.0, 1.0, 4, 0), [("a", 0), ("b", 0)])
    >>> (both[1] == uniforms(Sampling(1.0, 1.0, 4, 0), [("b", 0)])[0]).all()
    np.True_
    """
    keys = [sample_seed(sampling.seed, *name) for name in names]
    streams = [np.random.Generator(np.random.Philox(key=key)) for key in keys]
    return np.stack([stream.random(sampling.max_new_tokens) for stream in streams])


def cut_at(text: str, stop: Sequence[str]) -> str:
    """Return the text before the first stop text.

    Examples
    --------
    >>> cut_at("7. Question: 1+1? Answer", ["Answer", "Question:"])
    '7. '
    """
    ends = [place for place in (text.find(one) for one in stop) if place >= 0]
    return text[: min(ends, default=len(text))]


def stop_tokens(backbone: Backbone) -> list[int]:
    """Return the ids that end a completion: the checkpoint's and the tokenizer's.

    Raises
    ------
    InputError
        The backbone names no end token or no padding token.

    Examples
    --------
    >>> from hammerlib import load_backbone
    >>> len(stop_tokens(load_backbone("nano")))
    1
    """
    own = backbone.model.generation_config.eos_token_id
    listed = own if isinstance(own, list) else [own]
    found = {token for token in [*listed, backbone.tokenizer.eos_token_id] if token is not None}
    if not found or backbone.tokenizer.pad_token_id is None:
        remedy = "set eos_token and pad_token"
        raise InputError("model", backbone.name, "names no end or padding token", remedy)
    return sorted(found)
