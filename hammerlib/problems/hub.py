"""Problems from the Hugging Face hub, pinned to a revision."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hammerlib.errors import InputError
from hammerlib.problems.layouts import to_rows
from hammerlib.problems.table import make_table, subset

if TYPE_CHECKING:
    from datasets import Dataset

_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?")
_REACH_SECONDS = 10.0


def load_hub(
    name: str, *, split: str | None, n: int | None, seed: int, columns: dict[str, str] | None
) -> Dataset:
    """Load a data set of the hub; code of the repository is never run.

    Parameters
    ----------
    name : str
        ``<owner>/<repo>[/<config>][@<revision>]``; without a revision, the head of the default branch.
    split : str or None
        Default ``train``, also for ``rl`` (what is trained on).
    n, seed : int
        Random subset as for files.
    columns : dict or None
        Mapping for layouts that are not recognised, as for files.

    Returns
    -------
    datasets.Dataset
        ``source`` is ``<repo>[/<config>]@<first 12 digits of the commit>/<split>``; ids count its rows. Read
        from the cache (``HF_HUB_OFFLINE=1``), the commit is the revision asked for, or ``cached``.

    Raises
    ------
    InputError
        The name cannot be read; the hub is out of reach (within about ten seconds) or offline mode is set
        and the cache has no copy; repository, configuration, revision or split does not exist; unknown
        layout.

    Examples
    --------
    >>> load_hub("gsm8k", split=None, n=None, seed=0, columns=None)
    Traceback (most recent call last):
    hammerlib.errors.InputError: hub = 'gsm8k': cannot be read; write hub:<owner>/<repo>[/<config>][@<rev>]
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError("hub", name, "cannot be read", "write hub:<owner>/<repo>[/<config>][@<rev>]")
    repo, config, revision = match["repo"], match["config"], match["revision"]
    commit = _commit(name, repo, revision)
    # "rl" is what training and notebooks ask for by default: the part to train on, whatever its name.
    part = "train" if split in (None, "rl") else split
    import datasets

    try:
        found = datasets.load_dataset(repo, config, split=part, revision=commit or revision)
    except Exception as error:
        problem, remedy = _reason(error), "check repository, config, revision and split"
        if commit is None:
            problem = f"offline, and not to be had from the cache ({type(error).__name__})"
            remedy = "unset HF_HUB_OFFLINE where there is a network, or use file:<path>"
        raise InputError("hub", name, problem, remedy) from error
    place = f"{repo}/{config}" if config else repo
    source = f"{place}@{commit[:12] if commit else revision or 'cached'}/{part}"
    return subset(make_table(to_rows(found.to_list(), source=source, columns=columns)), n, seed)


def _commit(name: str, repo: str, revision: str | None) -> str | None:
    """Resolve the revision to a commit, or None in offline mode (then only the cache is read)."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return None
    try:
        return HfApi().dataset_info(repo, revision=revision, timeout=_REACH_SECONDS).sha
    except HfHubHTTPError as error:
        raise InputError("hub", name, _reason(error), "check repository and revision") from error
    except Exception as error:  # the client's transport library has changed before (httpx, httpx2)
        remedy = "connect, set HF_HUB_OFFLINE=1 to read a cached copy, or use file:<path>"
        raise InputError("hub", name, f"the hub is out of reach ({type(error).__name__})", remedy) from error


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
