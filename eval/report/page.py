"""Puts the report's parts into one HTML page and writes it."""

from pathlib import Path
from typing import Any

from eval.config import ReportConfig
from eval.groups import ALL, AND
from eval.report import about, heat, ledger, plots, tables
from eval.report.beside import beside
from eval.report.findings import findings
from eval.report.inputs import Inputs, read_inputs
from eval.report.lead import lead
from eval.report.main_effects import cost_effect, main_effect
from eval.report.sentences import PART_NAMES, RULE_NAMES, key_name, kind_name, place_name, sure
from eval.report.threats import ceilings, threats
from eval.where import FREQUENCY, SEEN, SLUG
from geo_nemo.common.counts import plural
from geo_nemo.common.files import make_folder, write_together
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.data.audit.render import legend_html
from geo_nemo.reporting.html import page


def write_report(config: ReportConfig, progress: Progress = no_progress) -> Inputs:
    """Write the page to `config.output`; UserError where an input or the output refuses."""
    progress("report", 0, 3)
    inputs = read_inputs(config)
    progress("report", 1, 3, "figures and tables")
    content = render(inputs)
    progress("report", 2, 3)
    output = Path(config.output)
    make_folder(output.parent)
    others = beside(output, inputs.evaluation, lead(inputs.evaluation))
    write_together({output: content.encode(), **others})
    progress("report", 3, 3)
    return inputs


def render(inputs: Inputs) -> str:
    """The page as HTML; the same inputs give the same page."""
    evaluation = inputs.evaluation
    samples, sample_of = about.sample_sequences(inputs)
    corpus, corpus_by_country = about.corpus(inputs)
    return page(
        Path(__file__).parent,
        "template.html.j2",
        title=inputs.config.title,
        legend=legend_html(),
        sure=sure(evaluation),
        lead=lead(evaluation),
        threats=threats(inputs),
        provenance=about.provenance(inputs),
        findings=findings(evaluation),
        warnings=_warnings(evaluation),
        finished=evaluation["finished"],
        samples=samples,
        sample_of=sample_of,
        corpus=corpus,
        marked=any(run.get("off_distribution") for run in evaluation["runs"].values()),
        off_mark=tables.OFF,
        corpus_by_country=corpus_by_country,
        quarantine=about.quarantine(inputs),
        training=about.training(inputs),
        training_by_group=about.training_by_group(inputs),
        ledger=ledger.by_stage(inputs),
        ledger_by_group=ledger.by_group(inputs),
        ledger_notes=ledger.notes(inputs),
        ledger_plot=ledger.plot(inputs),
        commands=about.commands(inputs),
        configs=about.configs(inputs),
        hashes=about.hashes(inputs),
        versions=about.versions(inputs),
        **_perplexity(evaluation),
        **_places(evaluation),
        **_questions(evaluation),
        **_losses(inputs),
        sections=_sections(evaluation),
    )


def _perplexity(evaluation: dict[str, Any]) -> dict[str, Any]:
    documents, floor = evaluation["documents"], evaluation["floor"] or {}
    scored, cut = documents["scored"], documents["cut"]
    text = f"{plural(scored, 'document')} of split {documents['split']}"
    if scored < documents["in_split"]:
        drawn = ", stratified by country" if evaluation["config"].get("num_documents") else ""
        text += f" (of {documents['in_split']:,}{drawn})"
    text += f", {documents['title_tokens']:,} title and {documents['body_tokens']:,} body tokens"
    if cut:
        are = plural(cut, "document is", "documents are")
        text += f"; {are} scored up to the length that fits in every condition"
    for reason, count in documents["skipped"].items():
        text += f"; {count:,} left out: {reason}"
    gain = None
    if "per_token" in floor:
        per_token = floor["per_token"]
        gain = (per_token["without"] - per_token["with"]) * floor["tokens_per_document"]
    return {
        "matrix_plot": plots.matrix_plot(evaluation),
        "parts": tables.part_tables(evaluation),
        "bits": tables.bits(evaluation),
        "curves_plot": plots.curves_plot(evaluation),
        "about_documents": f"{text}.",
        "about_controls": _controls(documents["controls"]),
        "floor": tables.floor(evaluation),
        "floor_documents": f"{floor.get('documents', 0):,}",
        "floor_gain": None if gain is None else f"{gain:.2f}",
    }


def _controls(controls: dict[str, dict[str, float]]) -> str:
    parts = []
    if "shuffled" in controls:
        same = controls["shuffled"]
        parts.append(
            "Another document's metadata is that of a test document drawn at random: its country "
            f"happens to be the right one in {same['same_country']:.0%} of cases, its host in "
            f"{same['same_host']:.0%}."
        )
    if "wrong_country" in controls:
        if controls["wrong_country"]["same_country"] == 0:
            parts.append("A wrong country's is the whole record of a document of another country.")
        else:
            parts.append(
                "No field tells an origin here: what stands under a wrong country is the record of "
                "a document whose values differ from the right ones."
            )
    return " ".join(parts)


def _places(evaluation: dict[str, Any]) -> dict[str, Any]:
    effect = main_effect(evaluation)
    if effect is None:
        return dict.fromkeys(
            ("by_groups", "group_names", "gain_plot", "gain_caption", "absent", "places_pair",
             "places_part", "in_text", "cost_plot", "cost_pair", "over_countries", "fitted",
             "heat_maps")
        )  # fmt: skip
    cost = cost_effect(evaluation)
    return {
        "by_groups": _by_groups(evaluation, effect),
        "in_text": tables.by_place(evaluation, effect),
        "over_countries": heat.over_countries(evaluation),
        "fitted": heat.fitted(evaluation),
        "heat_maps": heat.maps(evaluation, effect["part"]),
        "group_names": _listed(_fields(evaluation)),
        "gain_plot": plots.gain_plot(evaluation, effect),
        "cost_plot": None if cost is None else plots.gain_plot(evaluation, cost, "cost"),
        "cost_pair": None
        if cost is None
        else f"R{key_name(cost['of'])[1:]}, against {key_name(cost['against'])}",
        "gain_caption": f"Bars are {sure(evaluation)} intervals of the paired difference. Places "
        f"with too few documents for an interval, and those beyond {plots.MOST_COUNTRIES}, are in "
        f"the tables only.",
        "absent": [
            place_name("country", country)
            for country in evaluation["documents"]["countries_without_documents"]
        ],
        "places_pair": f"R{key_name(effect['of'])[1:]}, against {key_name(effect['against'])}",
        "places_part": PART_NAMES[effect["part"]].lower(),
    }


def _by_groups(evaluation: dict[str, Any], effect: dict[str, Any]) -> list[tuple[str, Any]]:
    """(what it is, table) of each field, and of two together; the first is shown open."""
    found = []
    kinds = dict.fromkeys(line["group"] for line in evaluation["perplexity"]["effects"])
    for kind in kinds:
        if kind == ALL:
            continue
        if AND in kind:
            found.append((f"By {kind}", tables.crossed(evaluation, effect, kind)))
            continue
        table = tables.places(evaluation, effect, kind)
        number = len(table.rows)
        name = f"All countries with test documents: {number}"
        groups = plural(number, "group")
        found.append((name if kind == "country" else f"By {kind}: {groups}", table))
    return found


def _questions(evaluation: dict[str, Any]) -> dict[str, Any]:
    names = ("questions", "questions_plot", "about_questions", "questions_by_continent",
             "questions_by_country", "switch")  # fmt: skip
    asked = evaluation["questions"]
    if asked is None:
        return dict.fromkeys(names)
    text = (
        f"{plural(asked['asked'], 'question')}, each with its options in a random order of its own."
        f" A model's answer is the option that it finds likeliest after the prompt."
    )
    skipped = sum(asked["skipped"].values())
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in asked["skipped"].items())
        text += f" {plural(skipped, 'was', 'were')} left out: {reasons}."
    if asked.get("untold"):
        name = plural(asked["untold"], "names", "name")
        text += f" {name} no place: told nothing in every condition."
    parts = []
    full = ceilings(evaluation)
    kinds = dict.fromkeys(cell["kind"] for cell in asked["cells"])
    rules = dict.fromkeys(cell["rule"] for cell in asked["cells"])
    counts = asked.get("rule", "by_sum")
    if asked.get("chosen_on"):
        text += (
            f" Options are compared {RULE_NAMES[counts]}: that was best on "
            f"{plural(asked['chosen_on']['questions'], 'other question')}, in no table."
        )
    for kind in kinds:
        parts.append({
            "name": kind_name(kind),
            "table": tables.questions(evaluation, kind, counts),
            "others": [
                (RULE_NAMES[rule], tables.questions(evaluation, kind, rule))
                for rule in rules if rule != counts
            ],
            "effects": None if kind in full else tables.question_effects(evaluation, kind),
            "ceiling": full.get(kind),
        })  # fmt: skip
    local = next((kind for kind in kinds if kind != "shared"), None)
    by_continent = tables.questions_by_place(evaluation, local, "continent") if local else None
    by_country = tables.questions_by_place(evaluation, local, "country") if local else None
    switched = tables.switch(evaluation)
    if len(kinds) > plots.MOST_KINDS:
        text += f" The plot has {plots.MOST_KINDS} of {len(kinds)} kinds, the tables have all."
    values = (parts, plots.questions_plot(evaluation), text, by_continent, by_country, switched)
    return dict(zip(names, values, strict=True))


def _losses(inputs: Inputs) -> dict[str, Any]:
    per_token = (inputs.evaluation["floor"] or {}).get("per_token")
    floors = None
    caption = (
        "Mean over a step's trained tokens (faint) and its running mean. The first steps may lie "
        "above the frame."
    )
    if per_token is not None:
        floors = {"told the origin": per_token["with"], "told nothing": per_token["without"]}
        caption += (
            " Dotted: the entropy of the corpus, known because it is synthetic, as measured on "
            "the test documents."
        )
    metrics = {name: run.metrics for name, run in inputs.runs.items()}
    return {"loss_plot": plots.loss_plot(metrics, floors), "loss_caption": caption}


def _warnings(evaluation: dict[str, Any]) -> list[str]:
    found = []
    for name, run in evaluation["runs"].items():
        if run["steps"] is not None and run["step"] < run["steps"]:
            found.append(
                f"Run {name} was evaluated at step {run['step']:,} of {run['steps']:,}: it is not "
                f"finished."
            )
    return found


def _listed(names: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _fields(evaluation: dict[str, Any]) -> list[str]:
    """Fields by which figures are told apart."""
    kinds = dict.fromkeys(line["group"] for line in evaluation["perplexity"]["effects"])
    return [kind for kind in kinds if kind != ALL and AND not in kind]


def _sections(evaluation: dict[str, Any]) -> list[tuple[str, str]]:
    found = [("perplexity", "Perplexity")]
    if main_effect(evaluation) is not None:
        asked = [field for field in _fields(evaluation) if field not in (SEEN, FREQUENCY, SLUG)]
        found.append(("places", f"By {asked[-1]}"))
    if evaluation["questions"] is not None:
        found.append(("questions", "Questions"))
    return [*found, ("training", "Training"), ("rows", "A packed sequence"), ("corpus", "Corpus"),
            ("reproduce", "Commands and settings")]  # fmt: skip
