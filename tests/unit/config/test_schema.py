"""Bounds of the config, its immutability, and the hash of a policy."""

import pytest
from pydantic import ValidationError

from geo_nemo.config import Data, MetadataPolicy, Model, Run, Stage, Train
from geo_nemo.metadata.fields import FIELDS

MODEL = {
    "num_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_query_groups": 2,
    "ffn_hidden_size": 96,
}
TRAIN = {"steps": 10, "global_batch_size": 8, "warmup_steps": 2}
RUN = {
    "name": "run",
    "output_dir": "out",
    "model": MODEL,
    "data": {"store": "store"},
    "stages": {"only": {"share": 1, "metadata": {}}},
    "train": TRAIN,
}


def refuses(schema, values, words):
    with pytest.raises(ValidationError, match=words):
        schema.model_validate(values)


def test_the_smallest_run_is_taken():
    run = Run.model_validate(RUN)
    assert run.seed == 1234
    assert run.checkpoint.every_steps == 500
    assert run.parallel.tensor == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_layers": 0}, "greater than 0"),
        ({"hidden_size": 66}, "hidden_size 66 is not a multiple of num_attention_heads 4"),
        ({"hidden_size": 12}, "must be even for rotary positions"),
        ({"num_query_groups": 3}, "not a multiple of num_query_groups 3"),
        ({"norm_epsilon": 0}, "greater than 0"),
        ({"init_method_std": float("inf")}, "finite number"),
    ],
)
def test_an_impossible_model_is_refused(change, words):
    refuses(Model, MODEL | change, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "greater than 0"),
        ({"lr": 0}, "greater than 0"),
        ({"adam_beta1": 1}, "less than 1"),
        ({"weight_decay": -0.1}, "greater than or equal to 0"),
        ({"clip_grad": float("nan")}, "finite number"),
    ],
)
def test_impossible_training_settings_are_refused(change, words):
    refuses(Train, TRAIN | change, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": {}}, "stages is empty"),
        ({"stages": {"a": {"share": 0.5, "metadata": {}}}}, "add up to 0.5, not 1"),
        ({"stages": {"a": {"share": 1.5, "metadata": {}}}}, "less than or equal to 1"),
        ({"train": TRAIN | {"warmup_steps": 10}}, "warmup_steps 10 must be below train.steps 10"),
        ({"train": TRAIN | {"min_lr": 0.1}}, "min_lr 0.1 is above lr 0.003"),
        (
            {
                "stages": {c: {"share": 0.25, "metadata": {}} for c in "abcd"},
                "train": TRAIN | {"steps": 3},
            },
            "train.steps 3 is fewer than the 4 stages",
        ),
        ({"name": "../out"}, "match pattern"),
        ({"name": ".hidden"}, "match pattern"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 2**63}, "less than 9223372036854775808"),
        ({"data": {"store": "s", "seq_length": 15}}, "greater than or equal to 16"),
    ],
)
def test_an_inconsistent_run_is_refused(change, words):
    refuses(Run, RUN | change, words)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"fields": ["url", "url"]}, "names a field twice"),
        ({"fields": ["A city"]}, "'A city' is no name of a field: take small letters"),
        ({"fields": ["url"], "forms": {"date": "month"}}, r"forms names \['date'\], which fields"),
        ({"url_form": "path", "forms": {"url": "full"}}, "url_form and forms.url differ"),
        ({"quality_bands": {"low": 1}}, "must rise from 0"),
        ({"quality_bands": {"low": 0, "high": 0}}, "must rise from 0"),
        ({"quality_bands": {"a b": 0}}, "should match pattern"),
        ({"cut": "pieces"}, "should be 'parts' or 'whole'"),
        ({"dropout": 1.1}, "less than or equal to 1"),
        ({"fields": ["url"], "field_dropout": {"country": 0.1}}, "which fields does not list"),
        ({"position": "append"}, "needs mask_loss=false or a weight"),
        ({"position": "append", "loss_weights": {"label": 1}}, "needs mask_loss=false or a weight"),
        ({"loss_weights": {"body": -0.5}}, "greater than or equal to 0"),
        ({"loss_weights": {"body": float("nan")}}, "finite number"),
        ({"loss_weights": {"body": float("inf")}}, "finite number"),
        ({"loss_weights": {"title": 0, "body": 0, "end": 0}}, "loss_weights are all 0"),
        ({"loss_weights": {"title": 0, "body": 0}}, "labels and ends of texts alone"),
        ({"loss_weights": {"text": 1}}, "should be 'metadata', 'label', 'title', 'body' or 'end'"),
    ],
)
def test_a_contradictory_policy_is_refused(policy, words):
    refuses(MetadataPolicy, policy, words)


@pytest.mark.parametrize("section", [Run.model_validate(RUN), Model(**MODEL), Data(store="s")])
def test_config_cannot_be_changed_and_takes_no_unknown_key(section):
    name = next(iter(type(section).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section, name, getattr(section, name))
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(section).model_validate({**section.model_dump(), "nonsense": 1})


def test_a_run_is_the_same_after_its_record_is_read_back():
    run = Run.model_validate(RUN)
    assert Run.model_validate(run.model_dump(mode="json")) == run


def test_the_hash_of_a_policy_is_what_older_artefacts_hold():
    assert MetadataPolicy().hash() == "07ba22d4c4366e50"
    assert MetadataPolicy(fields=()).hash() == "3c146e1dc95f4dc6"


def test_weights_that_change_nothing_are_no_part_of_the_hash():
    usual = {"metadata": 0, "label": 0, "title": 1, "body": 1, "end": 1}
    assert MetadataPolicy(loss_weights=usual).hash() == MetadataPolicy().hash()
    trained = MetadataPolicy(mask_loss=False)
    everything = dict.fromkeys(usual, 1)
    assert MetadataPolicy(mask_loss=False, loss_weights=everything).hash() == trained.hash()
    assert MetadataPolicy(loss_weights={"metadata": 0.5}).hash() != MetadataPolicy().hash()


def test_every_field_of_a_policy_changes_its_hash():
    base = MetadataPolicy(mask_loss=False)
    changes = {
        "fields": ("country", "url", "continent"),
        "url_form": "path",
        "position": "append",
        "mask_loss": True,
        "dropout": 0.1,
        "field_dropout": {"url": 0.1},
        "forms": {"country": "code"},
        "quality_bands": {"low": 0},
        "template": "plain",
        "cut": "whole",
        "plain_dropout": 0.1,
        "placebo": True,
        "loss_weights": {"metadata": 0.5},
    }
    # Which is refused beside the base's mask_loss.
    assert MetadataPolicy(meta_tokens=3).hash() != MetadataPolicy().hash()
    assert {*changes, "meta_tokens"} == MetadataPolicy.model_fields.keys()
    hashes = [
        MetadataPolicy.model_validate(base.model_dump() | {name: value}).hash()
        for name, value in changes.items()
    ]
    assert len({base.hash(), *hashes}) == len(changes) + 1


def test_a_setting_that_came_later_leaves_the_hash_as_it_was_where_it_is_not_set():
    assert MetadataPolicy(forms={}).hash() == MetadataPolicy().hash()
    assert MetadataPolicy(forms={"url": "path"}).hash() == MetadataPolicy(url_form="path").hash()
    assert MetadataPolicy(cut="parts").hash() == MetadataPolicy().hash()
    # Under any other template ids are those of the whole text, whatever it is called.
    for template in ("meco", {"title": "# {title}\n\n"}):
        named = [MetadataPolicy(template=template, cut=cut).hash() for cut in ("parts", "whole")]
        assert named[0] == named[1] == MetadataPolicy(template=template).hash()


def test_a_usual_form_that_is_spelled_out_changes_no_hash():
    """Of every field of the registry; any other form does."""
    for name, field in FIELDS.items():
        bare = MetadataPolicy(fields=(name,))
        for place, form in enumerate(field.forms):
            spelled = MetadataPolicy(fields=(name,), forms={name: form})
            assert (spelled.hash() == bare.hash()) == (place == 0), (name, form)
    own = MetadataPolicy(fields=("section",))
    assert MetadataPolicy(fields=("section",), forms={"section": "plain"}).hash() == own.hash()


def test_the_hash_of_a_policy_does_not_depend_on_the_order_of_a_mapping():
    forward = MetadataPolicy(field_dropout={"url": 0.1, "country": 0.2})
    backward = MetadataPolicy(field_dropout={"country": 0.2, "url": 0.1})
    assert forward.hash() == backward.hash()


def test_a_stage_has_a_fraction_above_zero():
    refuses(Stage, {"fraction": 0, "metadata": {}}, "greater than 0")


def test_settings_under_their_old_names_are_read_and_go_before_a_recipe_s():
    from eval.config import EvalConfig, ReportConfig

    assert Stage.model_validate({"share": 0.25, "metadata": {}}).fraction == 0.25
    assert Stage.model_validate({"share": 0.25, "fraction": 1, "metadata": {}}).fraction == 0.25
    found = EvalConfig.model_validate(
        {"runs": {"a": "x"}, "output": "y", "store": "s", "arms": ["with"], "row_length": 64}
    )
    assert (found.conditions, found.packed_length) == (("with",), 64)
    found = ReportConfig.model_validate({"eval": "x", "output": "y", "sample_row": 3})
    assert found.sample_sequence == 3


def test_one_bound_for_every_seed():
    from data_prep.config import Prep
    from data_prep.synth.config import Synth
    from eval.config import EvalConfig

    for schema in (Run, Prep, Synth, EvalConfig):
        bounds = {type(bound).__name__: bound for bound in schema.model_fields["seed"].metadata}
        assert (bounds["Ge"].ge, bounds["Lt"].lt) == (0, 2**63), schema
