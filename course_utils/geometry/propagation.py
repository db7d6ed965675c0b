"""The receptive fields of a whole network, followed through its trace."""

from course_utils.geometry.fields import Axis, Field, Frame, NoField, Unknown
from course_utils.geometry.rules import RULES
from course_utils.geometry.trace import Call, Ref, Step, Trace


class Fields:
    """The fields of all tensors of a trace of one image of shape (channels, height, width)."""

    def __init__(self, trace: Trace):
        self._frame = Frame(trace.input.shape[-2:])
        self.of: dict[int, Field | Unknown] = {trace.input.key: Field(Axis(2, 0, 1, 1), Axis(3, 0, 1, 1))}
        self.last_map: Step | None = None
        for step in trace.steps:
            for call in step.calls:
                self._follow(step, call)
            field = self.of.get(step.output.key)
            if field is not None and not (isinstance(field, Field) and field.pooled):
                self.last_map = step

    def _follow(self, step: Step, call: Call) -> None:
        inputs = [(ref, self.of[ref.key]) for ref in call.inputs if ref.key in self.of]
        if not inputs:
            return
        try:
            field = self._field(call, inputs)
        except NoField as reason:
            field = Unknown(f"{step.label} {reason}")
        for output in call.outputs:
            self.of[output.key] = field

    def _field(self, call: Call, inputs: list[tuple[Ref, "Field | Unknown"]]) -> "Field | Unknown":
        unknown = next((field for _, field in inputs if isinstance(field, Unknown)), None)
        if unknown is not None:
            # A summary of everything sees everything, whatever came before it.
            return self._frame.everything() if _sees_everything(call) else unknown
        if call.function in RULES:
            return RULES[call.function](self._frame, call, inputs)
        if all(field.pooled for _, field in inputs):
            return self._frame.everything()
        raise NoField(f"computes {call.function}, whose receptive field is not known here.")


def _sees_everything(call: Call) -> bool:
    if call.function.startswith("adaptive"):
        return call.outputs[0].shape[-1] == 1
    if call.function in ("mean", "sum", "amax", "max"):
        return all(n == 1 for n in call.outputs[0].shape[2:])
    return call.function == "flatten" and len(call.outputs[0].shape) == 2
