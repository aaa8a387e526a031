"""Hydra's way to the experiments of `geo_nemo.config.named_experiments`: a source of configs."""

from functools import cache

from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from omegaconf import OmegaConf

from geo_nemo.config.named_experiments import FAMILIES, GROUP, Experiment, parse, published
from geo_nemo.config.recipe_files import group_names


class NamedExperiments(ConfigSource):
    """Configs that no file holds, made when Hydra asks for them; one object a composition."""

    def __init__(self, provider: str, path: str):
        super().__init__(provider, path)
        self._names = cache(group_names)

    @staticmethod
    def scheme() -> str:
        return "named"

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", GROUP, *(f"{GROUP}/{family}" for family in FAMILIES))

    def is_config(self, config_path: str) -> bool:
        return self._found(config_path) is not None

    def load_config(self, config_path: str) -> ConfigResult:
        experiment = self._found(config_path)
        if experiment is None:
            raise ConfigLoadError(f"Config not found : {config_path}")
        text = experiment.recipe
        return ConfigResult(
            provider=self.provider,
            path=f"{self.scheme()}://{experiment.name}",
            config=OmegaConf.create(text),
            header=self._get_header_dict(text),
        )

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if results_filter == ObjectType.GROUP:
            return []
        family = config_path.removeprefix(f"{GROUP}/")
        return [each.name.split("/")[1] for each in published() if each.family == family]

    def _found(self, path: str) -> Experiment | None:
        group, _, name = path.removesuffix(".yaml").partition("/")
        return parse(name, self._names) if group == GROUP else None


# Hydra keeps the first class of a name, so that this may be said again.
Plugins.instance().register(NamedExperiments)
SEARCH_PATH = f"{NamedExperiments.scheme()}://recipes"
