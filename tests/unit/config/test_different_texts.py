"""A cooldown whose text looks different from what was trained is told of in one line."""

import pytest
from click.testing import CliRunner

from geo_nemo.cli.plan import command
from geo_nemo.config import MetadataPolicy, Run, Stage
from geo_nemo.config.load import load_config
from geo_nemo.config.stage_bounds import different_texts

OWN = {"title": "# {title}\n\n", "body": "{body}"}


def run_of(*policies: MetadataPolicy) -> Run:
    base = load_config("train", Run, ["model=demo", "output_dir=/r", "data.store=/s"])
    fraction = 1 / len(policies)
    stages = {
        f"s{n}": Stage(fraction=fraction, metadata=policy) for n, policy in enumerate(policies)
    }
    return base.model_copy(update={"stages": stages})


@pytest.mark.parametrize(
    "policies",
    [
        [MetadataPolicy(), MetadataPolicy(fields=())],
        [MetadataPolicy(template="meco"), MetadataPolicy(fields=(), template="plain")],
        [MetadataPolicy(template=OWN), MetadataPolicy(fields=(), template=OWN)],
        # Bare text is what others give a model.
        [MetadataPolicy(), MetadataPolicy(fields=(), template="plain")],
        # What stands before the text is the stage's own business.
        [MetadataPolicy(template=OWN | {"line": "{value}"}), MetadataPolicy(template=OWN)],
        [MetadataPolicy()],
    ],
)
def test_equal_texts_are_not_spoken_of(policies):
    assert different_texts(run_of(*policies)) == ""


def test_a_cooldown_with_labels_after_a_stage_without_them():
    told = different_texts(run_of(MetadataPolicy(template="meco"), MetadataPolicy(fields=())))
    assert told == (
        "stages s0 and s1 have other text around title and body (meco, localization): where that "
        "is not meant, give stages.s1.metadata.template=meco"
    )
    # What it says can be typed.
    mended = load_config(
        "train", Run, ["experiment=meco/1.6b_with", "output_dir=/r", "data.store=/s",
                       "stages.cooldown.metadata.template=meco"],
    )  # fmt: skip
    assert different_texts(mended) == ""
    own = different_texts(run_of(MetadataPolicy(template=OWN), MetadataPolicy(fields=())))
    assert "(one of your own, localization)" in own and "\n" not in own


def test_plan_and_train_tell_of_it():
    settings = ["experiment=demo", "metadata@stages.cooldown.metadata=none",
                "stages.cooldown.metadata.template=localization"]  # fmt: skip
    found = CliRunner().invoke(command, [*settings, "--no-store"])
    assert found.exit_code == 0, found.output
    assert found.stderr.splitlines()[0] == (
        "geo-nemo: warning: stages condition and cooldown have other text around title and body "
        "(meco, localization): where that is not meant, give stages.cooldown.metadata.template=meco"
    )
