package telemetry

// The one import of the semantic conventions: one version in the whole program,
// the one that otelhttp, which makes the CLIENT spans, uses too.
import semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

var (
	keyServerAddress   = semconv.ServerAddressKey
	keyServerPort      = semconv.ServerPortKey
	keyMethod          = semconv.HTTPRequestMethodKey
	keyMethodOriginal  = semconv.HTTPRequestMethodOriginalKey
	keyScheme          = semconv.URLSchemeKey
	keyPath            = semconv.URLPathKey
	keyPeerAddress     = semconv.NetworkPeerAddressKey
	keyPeerPort        = semconv.NetworkPeerPortKey
	keyUserAgent       = semconv.UserAgentOriginalKey
	keyClientAddress   = semconv.ClientAddressKey
	keyProtocolVersion = semconv.NetworkProtocolVersionKey
	keyRoute           = semconv.HTTPRouteKey
	keyRequestSize     = semconv.HTTPRequestBodySizeKey
	keyResponseSize    = semconv.HTTPResponseBodySizeKey
	keyStatusCode      = semconv.HTTPResponseStatusCodeKey
	keyErrorType       = semconv.ErrorTypeKey

	keyServiceName      = semconv.ServiceNameKey
	keyServiceNamespace = semconv.ServiceNamespaceKey
	keyServiceVersion   = semconv.ServiceVersionKey
	keyServiceInstance  = semconv.ServiceInstanceIDKey
	keyEnvironment      = semconv.DeploymentEnvironmentNameKey
)

const (
	schemaURL   = semconv.SchemaURL
	methodOther = "_OTHER" // HTTP spans, http.request.method: a method that is not a known one
)
