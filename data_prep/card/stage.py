"""The stage `card`: report.json, card.md and card.html, in the output folder at the end."""

from pathlib import Path
from typing import Any

from data_prep.card.gather import gather, upstream_key
from data_prep.engine import Receipt, Stage, Task, TaskProgress
from data_prep.engine.receipt import task_key
from geo_nemo.common.files import write_whole

CARD_VERSION = "4"
REPORT, MARKDOWN, PAGE = "report.json", "card.md", "card.html"


class Card(Stage):
    """Writes the data card."""

    name = "card"

    def tasks(self) -> list[Task]:
        return [Task("all", task_key(CARD_VERSION, upstream_key(self.config)), 3, {})]

    def run(self, task: Task, folder: Path, progress: TaskProgress) -> dict[str, Any]:
        # jinja2 is slow to import, and every process makes every stage.
        from data_prep.card.markdown import to_markdown
        from data_prep.card.page import to_html

        data = gather(self.config)
        (folder / REPORT).write_bytes(data.model_dump_json(indent=1).encode() + b"\n")
        progress(1, data.documents)
        (folder / MARKDOWN).write_bytes(to_markdown(data).encode())
        progress(2, data.documents)
        (folder / PAGE).write_bytes(to_html(data).encode())
        progress(3, data.documents)
        return {"documents": data.documents, "tokens": data.tokens}

    def finish(self, tasks: list[Task], receipts: list[Receipt]) -> None:
        """Put the files where they are looked for."""
        for name in (REPORT, MARKDOWN, PAGE):
            content = (self.task_folder(tasks[0].id) / name).read_bytes()
            write_whole(Path(self.config.output) / name, content)
