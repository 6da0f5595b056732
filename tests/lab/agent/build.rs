//! Makes clients and servers of the gRPC services, without a compiler of protocol files.

use tonic_build::manual::{Builder, Method, Service};

const CODEC: &str = "tonic_prost::ProstCodec";

fn main() {
    let certificates = Service::builder()
        .name("IstioCertificateService")
        .package("istio.v1.auth")
        .method(
            Method::builder()
                .name("create_certificate")
                .route_name("CreateCertificate")
                .input_type("crate::wire::CertificateRequest")
                .output_type("crate::wire::CertificateResponse")
                .codec_path(CODEC)
                .build(),
        )
        .build();
    let discovery = Service::builder()
        .name("Discovery")
        .package("meshvm.lab.v1")
        .method(
            Method::builder()
                .name("watch")
                .route_name("Watch")
                .input_type("crate::wire::Node")
                .output_type("crate::wire::Config")
                .codec_path(CODEC)
                .server_streaming()
                .build(),
        )
        .method(
            Method::builder()
                .name("report")
                .route_name("Report")
                .input_type("crate::wire::HealthReport")
                .output_type("crate::wire::Reported")
                .codec_path(CODEC)
                .build(),
        )
        .build();
    let health = Service::builder()
        .name("Health")
        .package("grpc.health.v1")
        .method(
            Method::builder()
                .name("check")
                .route_name("Check")
                .input_type("crate::wire::HealthCheckRequest")
                .output_type("crate::wire::HealthCheckResponse")
                .codec_path(CODEC)
                .build(),
        )
        .build();
    Builder::new().compile(&[certificates, discovery, health]);
}
