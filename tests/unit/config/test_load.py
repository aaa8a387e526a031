"""From recipes and overrides to a config: what is taken, and how each mistake is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.config import Prep
from geo_nemo.cli import main as cli
from geo_nemo.config import Logging, Run, UserError
from geo_nemo.config.load import compose, load_config, validate
from geo_nemo.config.quoting import quote
from geo_nemo.config.tune import load_tune

GIVEN = ("data.store=store", "output_dir=out")


def load(*overrides):
    return load_config("train", Run, (*GIVEN, *overrides))


def test_the_plain_recipe_is_the_paper_s_1b():
    run = load()
    assert (run.model.num_layers, run.model.hidden_size, run.model.ffn_hidden_size) == (
        16,
        2048,
        5632,
    )
    assert (run.train.steps, run.train.lr, run.train.min_lr) == (10_000, 3e-3, 3e-4)
    assert run.train.global_batch_size * run.data.seq_length == 4_194_304
    assert list(run.stages) == ["condition", "cooldown"]
    assert run.stages["condition"].metadata.fields == ("url", "country", "continent")
    assert run.stages["cooldown"].metadata.fields == ()
    assert run.precision.dtype == "bf16"


def test_groups_and_single_values_may_be_overridden_in_any_order():
    run = load("train.lr=1e-3", "experiment=demo", "model.num_layers=2", "precision=bf16")
    assert (run.train.lr, run.model.num_layers, run.model.hidden_size) == (1e-3, 2, 128)
    assert run.precision.dtype == "bf16"
    assert run.train.steps == 400


def test_a_group_may_be_put_at_another_place():
    run = load("metadata@stages.condition.metadata=none")
    assert run.stages["condition"].metadata.fields == ()


def test_keys_that_only_the_schema_knows_need_no_plus():
    run = load("train.adam_beta2=0.9", "stages.condition.metadata.field_dropout={url: 0.5}")
    assert run.train.adam_beta2 == 0.9
    assert run.stages["condition"].metadata.field_dropout == {"url": 0.5}
    assert load("+seed=3") == load("seed=3") == load("++seed=3")


@pytest.mark.parametrize(
    "name",
    ["plain", "with space", "comma,colon: {x} [y]", "it's", "a=b", "back\\slash", "ü", "end\\"],
)
def test_a_quoted_path_arrives_as_it_was(name, tmp_path):
    path = tmp_path / name
    assert load(f"output_dir={quote(path)}").output_dir == str(path)


@pytest.mark.parametrize("name", ["7", "1e3", "null", "true", "."])
def test_a_path_that_looks_like_another_type_stays_a_path(name):
    assert load(f"output_dir={quote(Path(name))}").output_dir == name


def test_what_the_recipe_leaves_open_is_absent():
    assert "output_dir" not in compose("train")
    assert "store" not in compose("train")["data"]


MISTAKES = {
    "foo": "foo is not key=value",
    "=3": "=3 is not key=value",
    "++foo": "++foo is not key=value",
    "model=7b": "train: model=7b is not a recipe; there is 0.5b, 1.6b, 1b, 3b, 600m, 8b, demo, "
    "llama3.2-1b, mistral-7b, qwen2.5-0.5b, qwen3-0.6b",
    "metadata@stages.condition.metadata=nonee": "url_country, year; did you mean none?",
    "model=3": "train: model=3 is not a recipe's name; there is 0.5b, 1.6b",
    "parallel=null": "train: parallel=null is not a recipe's name; there is context, overlap",
    "seed=true": "train: seed: write a number, not true",
    "train.min_lr=false": "train: train.min_lr: write a number, not false",
    "logging.prometheus_port=true": "logging.prometheus_port: write a number, not true",
    "stages.condition.metadata.field_dropout={url: true}": "dropout: write a number, not true",
    "logging.profile={start_step: 4, ranks: [0, true]}": "ranks: write a number, not true",
    f"train.steps={10**30}": "input should be less than 9223372036854775808",
    "trian.lr=3": "train: unknown key trian; did you mean train?",
    "train.stepz=3": "train: unknown key train.stepz; did you mean train.steps?",
    "model.hidden_sizee=64": "unknown key model.hidden_sizee; did you mean model.hidden_size?",
    "stages.cooldown.metadata.filds=[]": "did you mean stages.cooldown.metadata.fields?",
    "zzz=1": "train: unknown key zzz",
    "train.lr=fast": "train: train.lr='fast': input should be a valid number",
    "train.lr=-1": "train: train.lr=-1: input should be greater than 0",
    "train.lr=nan": "train: train.lr=nan: input should be a finite number",
    "train.lr=1,2": "cannot read train.lr=1,2: write train.lr=[1,2] for a list, quote",
    "train.lr=${nothing}": "Interpolation key 'nothing' not found",
    "train={": "cannot read train={: write a list as [a,b], keys and values as {key: value}",
    "name=a=b": "cannot read name=a=b: quote the value, as in \"name='a=b'\"",
    "name=~/a": 'cannot read name=~/a: the shell leaves ~ as it is there: write "name=$HOME/a"',
    "output_dir=": "train: output_dir='': it is empty: give a text",
    "output_dir=s3://a/b": "train: output_dir: it is an address: give a path on a disk",
    "stages.condition.metadata.forms=5": "metadata.forms=5: write keys and values",
    "stages.condition.metadata.template={lien: x}": "metadata.template.lien; did you mean "
    "stages.condition.metadata.template.line?",
    "stages.condition.metadata.template=x": "metadata.template: template x: there is localization",
    "stages.condition.metadata.loss_weights={a: 1}": "loss_weights.a='a': input should be 'meta",
    "sharing.group=''": "train: sharing.group='': it is empty: give a text",
    "stages.condition.select.years=[2020]": "select.years: it has 1 values, and needs 2",
    "stages.condition.select=europe": "or name a recipe, as select@stages.condition.select=europe",
    "metadata@stages.other.metadata=country": "one that is not there yet is added by "
    "+metadata@stages.other.metadata=NAME",
    "logging.profile={start_step: 4, ranks: true}": "ranks: write a number, not true",
    'logging.options={"a.b:C": {d: 1}}': r"write the colon of a name so: "
    r"'logging.options={a.b\:C: {d: 1}}'",
    "callbacks.options={a.b:C: {d: 1}}": r"so: 'callbacks.options={a.b\:C: {d: 1}}'",
    "name='a b'": "name='a b': string should match pattern",
    "stages.condition.metadata.fields={a: 1}": "condition.metadata.fields: write a list",
    "stages.condition=[1]": "train: stages.condition: write keys and values, as {key: value}",
    "device=tpu": "device='tpu': input should be 'auto', 'cpu' or 'gpu'",
    "~train.steps": "no value for train.steps: add train.steps=... to the command",
    "~nothing": "Could not delete from config. 'nothing' does not exist.",
    "model@other=1b": "Could not override 'model@other'. Did you mean to override model?",
    "stages.other.share=0.1": "no value for stages.other.metadata: add "
    "+metadata@stages.other.metadata=NAME to the command",
    "stages.cooldown.share=0.3": "train: stages overlap: their fractions add up to 1.1, not 1",
    "model.num_query_groups=5": "num_attention_heads 16 is not a multiple of num_query_groups 5",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(override, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["geo-nemo", "train", "--dry-run", *GIVEN, override])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert out == ""
    assert err.startswith("geo-nemo: ")
    assert err.count("\n") == 1
    assert MISTAKES[override] in err
    assert "search path" not in err.lower()
    assert "hydra.cc" not in err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            ["logging.wandb_project=p", "logging.options.wandb.api_key=hush-hush"],
            "logging.options: wandb.api_key holds a secret, and settings are kept in run.json and "
            "in the checkpoints: leave it out, and have it read from WANDB_API_KEY",
        ),
        (["logging.loggers=[mine]", "logging.options.mine.token=hush-hush"], "mine.token holds a"),
        (["callbacks.use=[mine]", "++callbacks.options.mine={http: {auth_token: hush-hush}}"],
         "callbacks.options: mine.http.auth_token holds a secret"),
        (["logging.loggers=[mine]", "logging.options.mine.hf_token=hf_hush-hush-hush-hush"],
         "logging.options: mine.hf_token holds a secret"),
    ],
)  # fmt: skip
def test_a_secret_among_the_options_is_refused_and_told_where_it_belongs(settings, told):
    with pytest.raises(UserError) as refused:
        load_config("train", Run, [*GIVEN, *settings])
    assert told in str(refused.value) and "hush" not in str(refused.value)


def test_options_that_only_look_like_a_secret_are_taken_and_one_that_python_gives_is_not_kept():
    options = {"max_tokens": 5, "sort_key": "a", "token_budget": "b", "api_key": None,
               "eos_token": "END", "cost_a_token": 7}  # fmt: skip
    given = [f"++logging.options.mine.{key}={value or 'null'}" for key, value in options.items()]
    run = load_config("train", Run, [*GIVEN, "logging.loggers=[mine]", *given])
    assert run.logging.options == {"mine": options}
    assert run.model_dump(mode="json")["logging"]["options"] == {"mine": options}
    secret = Logging(loggers=("mine",), options={"mine": {"api_key": "hush-hush", "url": "x"}})
    assert secret.options["mine"]["api_key"] == "hush-hush"
    assert secret.model_dump()["options"] == {"mine": {"api_key": "***", "url": "x"}}


def test_every_open_key_is_named():
    with pytest.raises(UserError, match=r"no value for output_dir, data\.store: add output_dir="):
        load_config("train", Run)


def test_a_misspelt_key_is_named_before_the_one_it_leaves_without_a_value():
    with pytest.raises(UserError, match=r"unknown key ouput_dir; did you mean output_dir\?"):
        load_config("train", Run, ["data.store=s", "ouput_dir=out"])


def test_a_time_limit_without_time_for_steps_is_refused_and_read_in_a_record():
    """Such a run would take a step and stop, each time that it is started."""
    with pytest.raises(UserError, match="margin_minutes 10 leaves no time for steps before"):
        load("health.time_limit_minutes=8")
    run = load("health.time_limit_minutes=8", "health.margin_minutes=2")
    kept = run.model_dump(mode="json")
    kept["health"]["margin_minutes"] = 10.0
    assert validate("record", Run, kept, kept=True).health.margin_minutes == 10


@pytest.mark.parametrize(
    "value", ["a=b", "a,b=c", "it's", "ä b", "(a)", "a#b", "$a;b", "a`b", "a!=b", "a{b}", "'it's'"]
)
def test_a_value_that_is_to_be_quoted_is_shown_as_a_shell_takes_it(value):
    """What a message says is typed: by a shell's rules and Hydra's it is the value."""
    with pytest.raises(UserError, match=r"as in (.*)$") as refused:
        load(f"output_dir={value}")
    shown = str(refused.value).partition("as in ")[2]
    typed = subprocess.check_output(["sh", "-c", f"printf %s {shown}"], text=True)
    assert load(typed).output_dir == value.strip("'")


def test_what_a_file_of_a_whole_config_lacks_is_to_be_written_there(tmp_path):
    file = tmp_path / "whole.json"
    file.write_text('{"name": "a"}')
    with pytest.raises(UserError, match=r"no value for output_dir, model, .*: write it there"):
        load_config(str(file), Run)


def test_a_stage_is_added_as_the_message_says():
    with pytest.raises(UserError, match=r"fractions add up to 1\.1"):
        load("stages.other.fraction=0.1", "+metadata@stages.other.metadata=country")


def test_what_an_entry_of_a_list_lacks_is_to_be_written_there():
    with pytest.raises(UserError, match=r"no value for data\.0\.path: write it there, as \{path: "):
        load_tune("tune", "m", ["data=[{weight: 2}]", "output=o"])
    with pytest.raises(UserError, match=r"lora\.targets=\[5\]: input should be 'all-linear'"):
        load_tune("tune", "m", ["data=a", "output=o", "lora.targets=5"])


def test_an_encoding_is_blamed_where_it_is_given():
    with pytest.raises(UserError, match="prep: encoding: 'foo' is no encoding"):
        load_config("prep", Prep, ["input=a", "output=b", "encoding=foo"])
