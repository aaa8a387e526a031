"""Callbacks that a run is given besides its own."""

from pydantic import Field, model_validator

from geo_nemo.config.secret import Options
from geo_nemo.config.section import PluginName, Section


class Callbacks(Section):
    """Watchers of training from outside: see docs/extending.md.

    use: by name, those of entry points of the group `geo_nemo.callbacks`, or `module:attribute`.
    options: keyword arguments of them, by their names.
    """

    use: tuple[PluginName, ...] = ()
    options: Options = Field(default_factory=dict)

    @model_validator(mode="after")
    def _options_of_some(self):
        if unused := [name for name in self.options if name not in self.use]:
            raise ValueError(f"options of {unused[0]}, which is not one of use")
        if twice := [name for name in self.use if self.use.count(name) > 1]:
            raise ValueError(f"use has {twice[0]} twice")
        return self
