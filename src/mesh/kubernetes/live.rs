//! What a cluster has beside the stack, as far as it could get into the stack's way.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use k8s_openapi::api::authorization::v1::{
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec, SubjectRulesReviewStatus,
};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::core::DynamicObject;
use meshvm_provider_api::labels;

use super::gateways::GatewayService;
use super::{Foreign, Known, Kubernetes, KubernetesError, attempt, kinds, pages, together};
use crate::mesh::{MACHINE_LABEL, MeshError, ObjectRef};

/// The label of the control plane's namespace with the network that the cluster is in, and of a
/// gateway's Service with the one that it leads into
/// (<https://istio.io/latest/docs/reference/config/labels/>).
pub(super) const NETWORK: &str = "topology.istio.io/network";

/// What a cluster has in the namespaces of a stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Those of the namespaces that exist.
    pub namespaces: BTreeMap<String, LiveNamespace>,
    /// Those that do not exist and are made with the first object in them.
    pub to_make: BTreeSet<String>,
    /// What this user may do in all of these; without those of which the cluster does not tell.
    pub rules: BTreeMap<String, Vec<Rule>>,
    /// The network that the control plane's namespace says the cluster is in.
    pub network: Option<String>,
    /// What leads into networks, wherever it is.
    pub gateways: Vec<GatewayService>,
}

/// What a namespace has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveNamespace {
    /// Whether it is being deleted: nothing new can be written into it.
    pub is_ending: bool,
    /// Its Services.
    pub services: Vec<LiveService>,
    /// Its WorkloadEntries.
    pub entries: Vec<LiveEntry>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveService {
    /// Its name.
    pub name: String,
    /// The stack that it belongs to.
    pub stack: Option<String>,
    /// What it selects by.
    pub selector: BTreeMap<String, String>,
    /// The named target ports of its ports.
    pub target_ports: BTreeSet<String>,
}

/// A WorkloadEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveEntry {
    /// Its name.
    pub name: String,
    /// The machine of the stack that it stands for.
    pub machine: Option<String>,
    /// Its address.
    pub address: String,
    /// Its network.
    pub network: String,
}

/// Something that a user may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The verbs; `*` is all.
    pub verbs: Vec<String>,
    /// The groups; `*` is all.
    pub groups: Vec<String>,
    /// The resources, with subresources as `a/b`; `*` is all.
    pub resources: Vec<String>,
    /// Only objects of these names; of all when empty.
    pub names: Vec<String>,
}

impl Kubernetes {
    /// Looks at the namespaces of a stack.
    ///
    /// # Errors
    /// When the cluster does not answer, or this user may not look.
    pub async fn look_round(
        &self,
        istio: &str,
        namespaces: &BTreeSet<&str>,
    ) -> Result<Live, KubernetesError> {
        let mut calls = Vec::new();
        for &namespace in namespaces {
            calls.push(self.look_at(namespace).boxed());
        }
        let found = together(calls).await?;
        let (mut known, mut absent) = (BTreeMap::new(), BTreeSet::new());
        for (&name, found) in namespaces.iter().zip(found) {
            match found {
                Some(found) => drop(known.insert(name.to_owned(), found)),
                None => drop(absent.insert(name)),
            }
        }
        // What is granted everywhere is granted in a namespace to come.
        let to_come = absent
            .into_iter()
            .filter(|_| self.cluster.create_namespaces);
        let to_make: BTreeSet<String> = to_come.map(str::to_owned).collect();
        let names = known.keys().chain(&to_make);
        let rules = self.rules_in(&names.map(String::as_str).collect()).await?;
        let (control_plane, gateways) =
            futures::try_join!(self.namespace(istio), self.network_gateways())?;
        let labels = control_plane.and_then(|namespace| namespace.metadata.labels);
        let network = labels.and_then(|mut labels| labels.remove(NETWORK));
        Ok(Live {
            namespaces: known,
            to_make,
            rules,
            network: network.filter(|name| !name.is_empty()),
            gateways,
        })
    }

    /// Asks what this user may do in namespaces; those of which the cluster does not tell are left
    /// out.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn rules_in(
        &self,
        namespaces: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, Vec<Rule>>, KubernetesError> {
        let mut calls = Vec::new();
        for &namespace in namespaces {
            calls.push(self.rules(namespace).boxed());
        }
        let found = together(calls).await?;
        let named = namespaces.iter().zip(found);
        Ok(named
            .filter_map(|(&name, rules)| Some((name.to_owned(), rules?)))
            .collect())
    }

    /// Returns which of some kinds a stack has objects of, by namespace.
    ///
    /// # Errors
    /// When the cluster does not answer, or this user may not look.
    pub async fn kinds_of(
        &self,
        stack: &str,
        kinds: &BTreeSet<&str>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, KubernetesError> {
        let selector = format!("{}={stack}", labels::STACK);
        let resources: Vec<_> = kinds.iter().filter_map(|kind| kinds::named(kind)).collect();
        let mut calls = Vec::new();
        for resource in &resources {
            calls.push(self.list(resource, &selector).boxed());
        }
        let listed = together(calls).await?;
        let mut found = BTreeMap::<String, BTreeSet<String>>::new();
        for (resource, objects) in resources.iter().zip(listed) {
            for namespace in objects.into_iter().filter_map(|o| o.metadata.namespace) {
                let kinds = found.entry(namespace).or_default();
                kinds.insert(resource.kind.clone());
            }
        }
        Ok(found)
    }

    /// Returns which of the objects exist and are not the stack's.
    ///
    /// # Errors
    /// When the cluster does not answer, or this user may not look.
    pub async fn foreign(
        &self,
        stack: &str,
        references: &BTreeSet<ObjectRef>,
    ) -> Result<Vec<Foreign>, MeshError> {
        // Listed, and not read one by one: whoever plans may do no more.
        let sorted = self.sort_out(stack, references.iter(), Known::is_for, 0);
        Ok(sorted.await?.1)
    }

    /// Returns which of the objects do not exist.
    ///
    /// # Errors
    /// As [`Kubernetes::foreign`].
    pub async fn absent(
        &self,
        references: BTreeSet<ObjectRef>,
    ) -> Result<BTreeSet<ObjectRef>, MeshError> {
        let whosever = |_: &Known, _: &str| true;
        let sorted = self.sort_out("", references.iter(), whosever, 0);
        let (there, _) = sorted.await?;
        let absent = references.into_iter();
        Ok(absent.filter(|it| !there.contains_key(it)).collect())
    }

    async fn look_at(&self, namespace: &str) -> Result<Option<LiveNamespace>, KubernetesError> {
        let Some(found) = self.namespace(namespace).await? else {
            return Ok(None);
        };
        let (services, entries) =
            futures::try_join!(self.services(namespace), self.entries(namespace))?;
        Ok(Some(LiveNamespace {
            is_ending: found.metadata.deletion_timestamp.is_some(),
            services,
            entries,
        }))
    }

    async fn services(&self, namespace: &str) -> Result<Vec<LiveService>, KubernetesError> {
        let api: Api<Service> = Api::namespaced(self.client().await?.clone(), namespace);
        let action = format!("list Services in {namespace}");
        let found = pages(&api, &action, ListParams::default()).await?;
        Ok(found.into_iter().map(live_service).collect())
    }

    async fn entries(&self, namespace: &str) -> Result<Vec<LiveEntry>, KubernetesError> {
        let Some(resource) = kinds::named("WorkloadEntry") else {
            return Ok(Vec::new());
        };
        let client = self.client().await?.clone();
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let action = format!("list WorkloadEntries in {namespace}");
        let found = pages(&api, &action, ListParams::default()).await?;
        Ok(found.into_iter().map(live_entry).collect())
    }

    async fn rules(&self, namespace: &str) -> Result<Option<Vec<Rule>>, KubernetesError> {
        let api: Api<SelfSubjectRulesReview> = Api::all(self.client().await?.clone());
        let review = SelfSubjectRulesReview {
            spec: SelfSubjectRulesReviewSpec {
                namespace: Some(namespace.to_owned()),
            },
            ..SelfSubjectRulesReview::default()
        };
        let action = format!("ask what this user may do in {namespace}");
        let how = PostParams::default();
        let answer = attempt(&action, || api.create(&how, &review)).await?;
        Ok(answer.status.and_then(known_rules))
    }
}

/// Returns the rules of an answer; `None` when it does not have all.
fn known_rules(status: SubjectRulesReviewStatus) -> Option<Vec<Rule>> {
    if status.incomplete {
        return None;
    }
    let rules = status.resource_rules.into_iter().map(|rule| Rule {
        verbs: rule.verbs,
        groups: rule.api_groups.unwrap_or_default(),
        resources: rule.resources.unwrap_or_default(),
        names: rule.resource_names.unwrap_or_default(),
    });
    Some(rules.collect())
}

fn live_service(service: Service) -> LiveService {
    let mut of_labels = service.metadata.labels.unwrap_or_default();
    let spec = service.spec.unwrap_or_default();
    let ports = spec.ports.unwrap_or_default().into_iter();
    let named = |port: k8s_openapi::api::core::v1::ServicePort| match port.target_port {
        Some(IntOrString::String(name)) => Some(name),
        Some(IntOrString::Int(_)) | None => None,
    };
    LiveService {
        name: service.metadata.name.unwrap_or_default(),
        stack: of_labels.remove(labels::STACK),
        selector: spec.selector.unwrap_or_default(),
        target_ports: ports.filter_map(named).collect(),
    }
}

fn live_entry(entry: DynamicObject) -> LiveEntry {
    let mut labels = entry.metadata.labels.unwrap_or_default();
    let text = |pointer: &str| {
        let value = entry.data.pointer(pointer).and_then(|value| value.as_str());
        value.unwrap_or_default().to_owned()
    };
    LiveEntry {
        machine: labels.remove(MACHINE_LABEL),
        address: text("/spec/address"),
        network: text("/spec/network"),
        name: entry.metadata.name.unwrap_or_default(),
    }
}
