"""A filter: drops texts that shout, and takes signatures off the others."""

from data_prep.clean import Drop


class Shouting:
    """most: of letters that are capitals."""

    reasons = {"capitals": "most letters are capitals"}

    def __init__(self, rules, most=0.5):
        self.rules, self.most = rules, most

    def __call__(self, text, document):
        letters = [c for c in text.text if c.isalpha()]
        fraction = sum(map(str.isupper, letters)) / max(len(letters), 1)
        if "capitals" in self.rules and fraction > self.most:
            return Drop("capitals", f"{fraction:.2f} of letters")
        return text.text.removesuffix("\n-- sent from my phone")
