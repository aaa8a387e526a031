"""Settings that may hold a password: themselves where used, masked wherever they are written."""

from typing import Annotated, Any

from pydantic import PlainSerializer

from geo_nemo.common.secrets import all_masked, masked

Address = Annotated[str, PlainSerializer(masked, return_type=str)]
Arguments = Annotated[dict[str, Any], PlainSerializer(all_masked)]
Options = Annotated[dict[str, dict[str, Any]], PlainSerializer(all_masked)]
