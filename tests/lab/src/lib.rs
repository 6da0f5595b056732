//! Doubles of a Kubernetes API and of istiod, for meshvm's tests and for trying it.

pub mod istiod;
pub mod kube;
pub mod up;
