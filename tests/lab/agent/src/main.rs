//! A double of Istio's pilot-agent, for meshvm's tests and for trying it.

fn main() {}
