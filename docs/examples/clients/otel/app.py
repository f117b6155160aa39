"""A program with OpenTelemetry alone. It reads OTEL_EXPORTER_OTLP_TRACES_* and OTEL_RESOURCE_ATTRIBUTES.

pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
"""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("example")

if __name__ == "__main__":
    with tracer.start_as_current_span("answer") as span:
        # What Langfuse reads: langfuse.com/integrations/native/opentelemetry
        span.set_attribute("langfuse.observation.type", "generation")
        span.set_attribute("gen_ai.request.model", "example")
        span.set_attribute("user.id", "user-1")
        span.set_attribute("session.id", "session-1")
        span.set_attribute("langfuse.version", "1.0.0")
        print("42")
    provider.shutdown()  # otherwise, the end of the process would lose the last traces
