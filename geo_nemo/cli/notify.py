"""`geo-nemo notify`: tell from outside how a run ended, by the run's own settings."""

from pathlib import Path

import click

from geo_nemo.config import Notify, RunError, UserError

EVENTS = ("finished", "failed", "stopped", "test")


@click.command(
    epilog="Example: geo-nemo notify runs/a --event failed --text 'killed by signal 9' --once\n\n"
    "To try it out: geo-nemo notify runs/a --event test notify.webhook=GEO_NEMO_WEBHOOK"
)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path, readable=False))
@click.argument("overrides", nargs=-1, metavar="[notify.KEY=VALUE]...")
@click.option("--event", required=True, type=click.Choice(EVENTS), help="What happened.")
@click.option("--text", default="", help="Why, in a line.")
@click.option("--once", is_flag=True, help="Not where the run's own process has told of its end.")
def command(run: Path, overrides: tuple[str, ...], event: str, text: str, once: bool) -> None:
    """Tell that a run finished, failed or stopped, as its settings say whom.

    For who starts trainings: a process that is killed tells nothing itself. RUN is the output_dir;
    what notify.* says there, in run.json, may be given anew behind it. An event that notify.on
    leaves out is not told; `test` always is. Exits with 1 where it could not be told.
    """
    from geo_nemo.diagnostics.status import read_status
    from geo_nemo.runtime.notify import check_notify, send
    from geo_nemo.train.ending import end_message, has_told

    settings = read_settings(run, overrides)
    if not settings.is_asked_for:
        click.echo(f"{run}: nobody is to be told: neither notify.webhook nor notify.command is set")
        return
    if event != "test" and event not in settings.on:
        click.echo(f"{run}: notify.on leaves out {event}")
        return
    if once and has_told(run):
        click.echo(f"{run}: its process has told of its end")
        return
    check_notify(settings)
    status = read_status(run)
    message = end_message(
        status.name or run.name,
        str(run),
        event,
        text,
        step=status.step,
        steps=status.steps,
        stage=status.stage,
        loss=status.loss,
    )
    problems = send(settings, message)
    if problems:
        raise RunError("; ".join(problems))
    click.echo(f"told: {message['text']}")


def read_settings(run: Path, overrides: tuple[str, ...]) -> Notify:
    """The section `notify` of a run, with `overrides`; `UserError` where there is none to read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from geo_nemo.common.files import read_json
    from geo_nemo.config.load import validate
    from geo_nemo.config.too_deep import deep_setting

    for text in overrides:
        key, sign, _ = text.partition("=")
        if not sign or not key.startswith("notify."):
            raise UserError(f"{key} is no setting of notify: give notify.webhook=NAME, or another")
    given: dict = {}
    if (run / "run.json").exists() or not overrides:
        record = read_json(run / "run.json", "give the output_dir of a training that has begun")
        config = record.get("config")
        given = dict(config.get("notify") or {}) if isinstance(config, dict) else {}
    try:
        changed = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    except RecursionError:
        raise UserError(deep_setting(overrides)) from None
    except (OmegaConfBaseException, YAMLError, ValueError):
        raise UserError(f"cannot read {overrides[0].partition('=')[0]}: quote its value") from None
    return validate("notify", Notify, {**given, **changed.get("notify", {})}, typed=True)
