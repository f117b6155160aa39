"""The base of all models of the configuration."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from components.schema.values import ByteQuantity, CpuQuantity


class Model(BaseModel):
    """A frozen, strict model with camelCase keys that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        defer_build=True,  # builds a nested model only once, with the first model that contains it
    )


class Resources(Model):
    """Requests and limits of a container, as Kubernetes quantities."""

    cpu: CpuQuantity = Field(description="CPU request in cores.")
    cpu_limit: CpuQuantity = Field(description="CPU limit in cores.")
    memory: ByteQuantity = Field(description="Memory: both the request and the limit.")
    ephemeral_storage: ByteQuantity = Field(
        default="256Mi", description="Ephemeral storage: both the request and the limit."
    )
