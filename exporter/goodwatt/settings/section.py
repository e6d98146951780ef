"""The base classes of every configuration section: strict, frozen, and closed to unknown keys."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One mapping of a YAML file. Every key that carries a quantity names its unit."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class SourceSection(Section):
    """A section under a top-level key that configures one source, such as `gpus` or `otlp`.

    A reload keeps the open source while the resolved section is equal, and the engine profiles too where it uses them.
    A section with a `listen` key opens a port, so `goodwatt once` leaves it out.
    """

    uses_engine_profiles: ClassVar[bool] = False

    def resolved(self) -> Self:
        """This section with its automatic choices made, so that two spellings of one choice are equal."""
        return self
