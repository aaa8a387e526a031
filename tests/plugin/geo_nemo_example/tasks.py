"""A task of the evaluation: which city is a country's capital."""


class Capitals:
    """Its file has a country and its capital in each line, a tab between them."""

    def __init__(self, path, choices=4):
        lines = path.read_text().splitlines()
        self.capitals = dict(line.split("\t") for line in lines)
        self.choices = choices

    def rows(self):
        for country, capital in self.capitals.items():
            others = [name for name in self.capitals.values() if name != capital]
            yield {
                "id": country, "kind": "capital", "country": country,
                "prompt": "The capital of this country is",
                "options": [capital, *others[: self.choices - 1]], "answer": capital,
            }  # fmt: skip
