"""Layer sizes, costs and receptive fields, for one layer and for a whole network.

One layer: `output_size`, `conv_layer`, `pool_layer`, `linear_layer`. A network: `layer_table`, `receptive_field(s)`,
`effective_receptive_field`: these run it, leave it as it was, and load torch when they are first asked for.
"""

from importlib import import_module

from course_utils.geometry.fields import ReceptiveField
from course_utils.geometry.sizes import LayerSize, conv_layer, linear_layer, output_size, pool_layer
from course_utils.geometry.table import LayerRow, LayerTable

_WITH_TORCH = ["effective_receptive_field", "layer_table", "receptive_field", "receptive_fields"]
__all__ = ["LayerRow", "LayerSize", "LayerTable", "ReceptiveField", "conv_layer", "linear_layer"]
__all__ += ["output_size", "pool_layer", *_WITH_TORCH]
__dir__ = __all__.copy  # what the tab key offers


def __getattr__(name: str):
    if name in _WITH_TORCH:
        return getattr(import_module("course_utils.geometry.networks"), name)
    raise AttributeError(f"module 'course_utils.geometry' has no attribute {name!r}")
