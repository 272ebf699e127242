"""What is asked of a text: one file for each task. A new one joins the list below."""

from marwright.metrics.confidence import Fitted
from marwright.tasks.single_label import SingleLabel
from marwright.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (SingleLabel(),)}
SINGLE_LABEL = SingleLabel.name

__all__ = ["SINGLE_LABEL", "TASKS", "Fitted", "Task"]
