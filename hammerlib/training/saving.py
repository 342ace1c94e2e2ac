"""No checkpoint after the last optimizer step."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback


class NoLastCheckpoint(TrainerCallback):
    """Keeps transformers from a checkpoint at the last step, from which it would train one step more.

    transformers 5.23 saves at ``max_steps`` whatever ``save_steps`` says, and after resuming there takes
    another step before it looks at ``max_steps`` again. The trained model is written right after; a run
    killed in between repeats the steps since the checkpoint before.

    Examples
    --------
    >>> from transformers import TrainerControl, TrainerState
    >>> control = TrainerControl(should_save=True)
    >>> NoLastCheckpoint().on_step_end(None, TrainerState(global_step=5, max_steps=5), control)
    >>> control.should_save
    False
    """

    def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
        """Take back the request to save at the last step."""
        if state.global_step >= state.max_steps:
            control.should_save = False
