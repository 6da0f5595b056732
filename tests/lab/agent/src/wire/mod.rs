//! What goes between the agent and istiod.
//!
//! [`certificates`] is Istio's own protocol. [`discovery`] is not: a real istiod says the same
//! over Envoy's aggregated discovery service (ADS), as whole Envoy resources. The doubles
//! exchange what those resources are made from, and the agent makes them.
//!
//! Messages only: nothing here connects or listens.

mod messages;

pub use self::messages::{
    CertificateRequest, CertificateResponse, Config, Endpoint, HealthCheckRequest,
    HealthCheckResponse, HealthReport, InboundPort, Node, Port, Reported, Service,
};

/// The certificate authority: `istio.v1.auth.IstioCertificateService` of
/// `security/proto/istioca/istioca.proto` in istio/istio.
pub mod certificates {
    mod generated {
        include!(concat!(
            env!("OUT_DIR"),
            "/istio.v1.auth.IstioCertificateService.rs"
        ));
    }
    pub use self::generated::istio_certificate_service_client::IstioCertificateServiceClient;
    pub use self::generated::istio_certificate_service_server::{
        IstioCertificateService, IstioCertificateServiceServer,
    };
}

/// `meshvm.lab.v1.Discovery`: the lab's stand-in for ADS.
pub mod discovery {
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/meshvm.lab.v1.Discovery.rs"));
    }
    pub use self::generated::discovery_client::DiscoveryClient;
    pub use self::generated::discovery_server::{Discovery, DiscoveryServer};
}

/// `grpc.health.v1.Health`, which probes of the kind `grpc` call:
/// <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>.
pub mod health {
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.Health.rs"));
    }
    pub use self::generated::health_client::HealthClient;
    pub use self::generated::health_server::{Health, HealthServer};
}
