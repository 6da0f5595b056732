//! A double of a Kubernetes API, for meshvm's tests and for trying it.

pub mod kube;
pub mod up;
