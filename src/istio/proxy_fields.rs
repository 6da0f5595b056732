//! The fields of a `ProxyConfig`, as far as they have more than one form
//! (<https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig>). Data alone.

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// A number, whose default is 0.
    Number,
    /// A number that is told also when it is 0.
    Count,
    /// Whether something is so, which is told also when it is not.
    Truth,
    /// Whether something is so; it is not by default.
    Flag,
    /// A duration.
    Duration,
    /// One of these names, which have numbers; that of 0 is the default.
    Name(&'static [(i64, &'static str)]),
    /// A list.
    Many,
    /// Texts by name.
    Texts,
    /// Fields of its own.
    Message(Fields),
    /// Messages by name.
    Messages(Fields),
}

/// Fields by their JSON names.
pub(super) type Fields = &'static [(&'static str, Kind)];

use Kind::{Count, Duration, Flag, Many, Message, Messages, Name, Number, Text, Texts, Truth};

const TLS: Fields = &[
    (
        "mode",
        Name(&[
            (0, "DISABLE"),
            (1, "SIMPLE"),
            (2, "MUTUAL"),
            (3, "ISTIO_MUTUAL"),
        ]),
    ),
    ("clientCertificate", Text),
    ("privateKey", Text),
    ("caCertificates", Text),
    ("credentialName", Text),
    ("subjectAltNames", Many),
    ("sni", Text),
    ("insecureSkipVerify", Truth),
    ("caCrl", Text),
];

const REMOTE_SERVICE: Fields = &[
    ("address", Text),
    ("tlsSettings", Message(TLS)),
    (
        "tcpKeepalive",
        Message(&[
            ("probes", Number),
            ("time", Duration),
            ("interval", Duration),
        ]),
    ),
];

const TAG: Fields = &[
    ("literal", Message(&[("value", Text)])),
    (
        "environment",
        Message(&[("name", Text), ("defaultValue", Text)]),
    ),
    ("header", Message(&[("name", Text), ("defaultValue", Text)])),
    ("formatter", Message(&[("value", Text)])),
];

const TRACING: Fields = &[
    ("zipkin", Message(&[("address", Text)])),
    (
        "lightstep",
        Message(&[("address", Text), ("accessToken", Text)]),
    ),
    ("datadog", Message(&[("address", Text)])),
    ("stackdriver", Message(&[("debug", Flag)])),
    (
        "openCensusAgent",
        Message(&[("address", Text), ("context", Many)]),
    ),
    ("customTags", Messages(TAG)),
    ("maxPathTagLength", Number),
    ("sampling", Number),
    ("tlsSettings", Message(TLS)),
    ("enableIstioTags", Truth),
];

const TOPOLOGY: Fields = &[
    ("numTrustedProxies", Number),
    (
        "forwardClientCertDetails",
        Name(&[
            (0, "UNDEFINED"),
            (1, "SANITIZE"),
            (2, "FORWARD_ONLY"),
            (3, "APPEND_FORWARD"),
            (4, "SANITIZE_SET"),
            (5, "ALWAYS_FORWARD_ONLY"),
        ]),
    ),
    ("proxyProtocol", Message(&[])),
];

const KEY_PROVIDER: Fields = &[("pollDelay", Duration), ("fallback", Truth)];

const DISABLED: Fields = &[("disabled", Truth)];

const HEADERS: Fields = &[
    ("requestId", Message(DISABLED)),
    ("server", Message(&[("disabled", Truth), ("value", Text)])),
    ("attemptCount", Message(DISABLED)),
    ("envoyDebugHeaders", Message(DISABLED)),
    (
        "metadataExchangeHeaders",
        Message(&[("mode", Name(&[(0, "UNDEFINED"), (1, "IN_MESH")]))]),
    ),
    ("preserveHttp1HeaderCase", Truth),
];

/// The fields of the message itself.
pub(super) const PROXY_CONFIG: Fields = &[
    ("availabilityZone", Text),
    ("binaryPath", Text),
    ("caCertificatesPem", Many),
    ("concurrency", Count),
    ("configPath", Text),
    (
        "controlPlaneAuthPolicy",
        Name(&[(0, "NONE"), (1, "MUTUAL_TLS"), (1000, "INHERIT")]),
    ),
    ("customConfigFile", Text),
    ("discoveryAddress", Text),
    ("discoveryRefreshDelay", Duration),
    ("drainDuration", Duration),
    ("envoyAccessLogService", Message(REMOTE_SERVICE)),
    ("envoyMetricsService", Message(REMOTE_SERVICE)),
    ("envoyMetricsServiceAddress", Text),
    ("extraStatTags", Many),
    ("fileFlushInterval", Duration),
    ("fileFlushMinSizeKb", Count),
    ("gatewayTopology", Message(TOPOLOGY)),
    ("holdApplicationUntilProxyStarts", Truth),
    ("image", Message(&[("imageType", Text)])),
    (
        "interceptionMode",
        Name(&[(0, "REDIRECT"), (1, "TPROXY"), (2, "NONE")]),
    ),
    ("meshId", Text),
    ("parentShutdownDuration", Duration),
    (
        "privateKeyProvider",
        Message(&[
            ("cryptomb", Message(KEY_PROVIDER)),
            ("qat", Message(KEY_PROVIDER)),
        ]),
    ),
    ("proxyAdminPort", Number),
    ("proxyBootstrapTemplatePath", Text),
    ("proxyHeaders", Message(HEADERS)),
    ("proxyMetadata", Texts),
    (
        "proxyStatsMatcher",
        Message(&[
            ("inclusionPrefixes", Many),
            ("inclusionSuffixes", Many),
            ("inclusionRegexps", Many),
        ]),
    ),
    ("runtimeValues", Texts),
    ("sds", Message(&[("enabled", Flag), ("k8sSaJwtPath", Text)])),
    ("serviceCluster", Text),
    ("statNameLength", Number),
    ("statsCompression", Truth),
    ("statsdUdpAddress", Text),
    ("statusPort", Number),
    ("terminationDrainDuration", Duration),
    ("tracing", Message(TRACING)),
    ("zipkinAddress", Text),
];
