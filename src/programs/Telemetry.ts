/** Counters and traces for whoever has set the standard variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT`, …). */
import { Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp, OtlpSerialization } from "effect/observability"
import { version } from "./program.ts"

export const telemetry = Otlp.layerFromConfig({
  resource: { serviceName: "labfx", serviceVersion: version },
  loggerMergeWithExisting: true
}).pipe(Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]))
