// A program with the JavaScript SDK. It reads LANGFUSE_BASE_URL, the keys and LANGFUSE_TRACING_ENVIRONMENT.
//
//   npm install && node app.mjs

import { LangfuseSpanProcessor } from "@langfuse/otel";
import { propagateAttributes, startActiveObservation } from "@langfuse/tracing";
import { NodeSDK } from "@opentelemetry/sdk-node";

const sdk = new NodeSDK({ spanProcessors: [new LangfuseSpanProcessor()] });
sdk.start();

const attributes = { userId: "user-1", sessionId: "session-1", tags: ["example"], version: "1.0.0" };
await propagateAttributes(attributes, () =>
  startActiveObservation(
    "answer",
    async (generation) => {
      generation.update({ model: "example", input: "What is the answer?", output: "42" });
      console.log("42");
    },
    { asType: "generation" },
  ),
);

await sdk.shutdown(); // otherwise, the end of the process would lose the last traces
