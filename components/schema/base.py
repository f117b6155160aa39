"""What every part of the configuration shares."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from components.schema.values import ByteQuantity, CpuQuantity


class Model(BaseModel):
    """Frozen, strict, camelCase in stack files, and without unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        defer_build=True,  # a model is built with the first that holds it, not once by itself and again there
    )


class Resources(Model):
    """What a container asks for and may use, as Kubernetes quantities."""

    cpu: CpuQuantity = Field(description="CPU request in cores.")
    cpu_limit: CpuQuantity = Field(description="CPU limit in cores.")
    memory: ByteQuantity = Field(description="Memory: the request and the limit.")
    ephemeral_storage: ByteQuantity = Field(default="256Mi", description="Scratch space: the request and the limit.")
