"""A logger: losses as a table of a file."""


class Table:
    """A line a logged step."""

    def __init__(self, told, separator=","):
        self.path = told.output / "table.csv"
        self.separator = separator

    def on_start(self, step):
        lines = self.path.read_text().splitlines(True) if self.path.exists() else []
        kept = [line for line in lines if int(line.split(self.separator)[0]) <= step]
        self.path.write_text("".join(kept))

    def write(self, step, values):
        words = [step, values["loss"], values.get("loss_target/steps", "")]
        with self.path.open("a") as file:
            file.write(self.separator.join(map(str, words)) + "\n")

    def close(self, outcome): ...
