"""Brute force: the probability of a text by trying every way the grammar could have written it.

Shares no code with the generator or its likelihood; reads only the tables of the world. The sum
over all derivations is the probability of the text whether or not the grammar is ambiguous.
"""

import itertools
import re
from collections import defaultdict

SLOT = re.compile(r"\{\w+\}")


class Oracle:
    def __init__(self, world, signal, style):
        self.world, self.signal, self.style = world, signal, style
        self.styles = {choice.name: choice for choice in world.styles}

    def expansions(self, template, filled):
        """Texts of a template: (text, probability of its free slots, ((style, variant), ..))."""
        names = [slot[1:-1] for slot in SLOT.findall(template)]
        options = []
        for name in names:
            if name in filled:
                options.append([(filled[name], 1.0, None)])
            elif name in self.styles:
                variants = self.styles[name].variants
                options.append([(word, 1.0, (name, word)) for word in variants])
            else:
                words = self.world.lexicon[name]
                options.append([(word, 1 / len(words), None) for word in words])
        for chosen in itertools.product(*options):
            text, p, styles = template, 1.0, []
            for name, (word, p_word, style) in zip(names, chosen, strict=True):
                text = text.replace("{" + name + "}", word, 1)
                p *= p_word
                styles += [style] if style else []
            yield text, p, tuple(styles)

    def titles(self):
        """title -> {(topic, thing): probability}."""
        found = defaultdict(lambda: defaultdict(float))
        for topic in self.world.topics:
            for thing, title in itertools.product(topic.things, topic.titles):
                p = 1 / len(self.world.topics) / len(topic.things) / len(topic.titles)
                for text, p_slots, _ in self.expansions(title, {"thing": thing}):
                    found[text[0].upper() + text[1:]][topic, thing] += p * p_slots
        return found

    def sentences(self, topic, thing):
        """text -> [(type, kind, value, probability of template and free slots, styles)]."""
        found = defaultdict(list)
        for template in topic.sentences:
            for text, p, styles in self.expansions(template, {"thing": thing}):
                found[text].append(("filler", None, None, p / len(topic.sentences), styles))
        for type_, kinds in (("fact", self.world.facts), ("shared", self.world.shared)):
            for kind in kinds:
                for value, template in itertools.product(kind.values, kind.templates):
                    for text, p, styles in self.expansions(template, {"value": value}):
                        found[text].append((type_, kind, value, p / len(kind.templates), styles))
        return found

    def derivations(self, body, sentences):
        """Every way to read `body`: (opening, [sentence analyses], sign-off)."""
        for opening in self.styles["opening"].variants:
            for signoff in self.styles["signoff"].variants:
                if body.startswith(opening + " ") and body.endswith(" " + signoff):
                    middle = body[len(opening) + 1 : len(body) - len(signoff) - 1]
                    for sequence in _segmentations(middle, sentences):
                        yield opening, sequence, signoff

    def p_body(self, derivations, host):
        """Probability of a body, given title and host."""
        return sum(self._p_derivation(*derivation, host) for derivation in derivations)

    def _p_derivation(self, opening, sequence, signoff, host):
        world = self.world
        told = {type_: [s for s in sequence if s[0] == type_] for type_ in _TYPES}
        p = 1.0
        for type_, counts in zip(
            _TYPES, (world.fact_counts, world.filler_counts, world.shared_counts), strict=True
        ):
            if len(told[type_]) not in counts:
                return 0.0
            p /= len(counts)
        left = {type_: len(told[type_]) for type_ in _TYPES}
        unused = {"fact": list(world.facts), "shared": list(world.shared)}
        for type_, kind, value, p_text, styles in sequence:
            p *= left[type_] / sum(left.values()) * p_text
            left[type_] -= 1
            if kind is not None:
                if kind not in unused[type_]:
                    return 0.0
                p /= len(unused[type_])
                unused[type_].remove(kind)
                strength = self.signal if type_ == "fact" else world.shared_signal
                own = kind.values[kind.own[world.host_country[host]]]
                p *= (strength if value == own else 0) + (1 - strength) / len(kind.values)
            for name, word in styles:
                p *= self._p_style(name, word, host)
        return p * self._p_style("opening", opening, host) * self._p_style("signoff", signoff, host)

    def _p_style(self, name, word, host):
        choice = self.styles[name]
        own = choice.variants[choice.own[host]]
        return (self.style if word == own else 0) + (1 - self.style) / len(choice.variants)

    def bodies(self, topic, thing):
        """Every body of a small world, each once."""
        by_type = defaultdict(set)
        for text, analyses in self.sentences(topic, thing).items():
            for analysis in analyses:
                by_type[analysis[0]].add(text)
        world, found = self.world, set()
        for counts in itertools.product(
            world.fact_counts, world.filler_counts, world.shared_counts
        ):
            types = [t for t, count in zip(_TYPES, counts, strict=True) for _ in range(count)]
            for order in set(itertools.permutations(types)):
                for texts in itertools.product(*(by_type[type_] for type_ in order)):
                    for opening in self.styles["opening"].variants:
                        for signoff in self.styles["signoff"].variants:
                            found.add(" ".join([opening, *texts, signoff]))
        return found


_TYPES = ("fact", "filler", "shared")


def _segmentations(text, sentences):
    if not text:
        yield []
        return
    ends = [i for i, letter in enumerate(text) if letter == " "] + [len(text)]
    for end in ends:
        for analysis in sentences.get(text[:end], ()):
            for rest in _segmentations(text[end + 1 :], sentences):
                yield [analysis, *rest]
