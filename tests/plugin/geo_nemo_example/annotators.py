"""An annotator: how much of a text stands in quotation marks."""

import re


class Quoted:
    """marks: that begin and end what is quoted."""

    fields = {"quoted": "number"}

    def __init__(self, marks='"“”'):
        self.inside = re.compile(f"[{marks}]([^{marks}]+)[{marks}]")

    def __call__(self, document, said):
        quoted = sum(map(len, self.inside.findall(document.text)))
        return {"quoted": round(quoted / len(document.text), 2)}
