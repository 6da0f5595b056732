//! The messages that typed clients send, as far as they are read
//! (`generated.proto` in <https://github.com/kubernetes/api> and
//! <https://github.com/kubernetes/apimachinery>).

/// A message.
pub struct Message {
    /// Its name.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A field of a message.
pub struct Field {
    /// Its number on the wire.
    pub number: u32,
    /// Its name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
    /// Whether there may be many.
    pub repeated: bool,
}

/// What a field holds.
pub enum Form {
    /// A text.
    Text,
    /// Bytes.
    Blob,
    /// A whole number.
    Number,
    /// True or false.
    Truth,
    /// A time.
    Time,
    /// A number or a text.
    NumberOrText,
    /// A map of texts.
    Texts,
    /// A map of bytes.
    Blobs,
    /// Another message.
    Of(&'static Message),
}

const fn one(number: u32, name: &'static str, form: Form) -> Field {
    Field {
        number,
        name,
        form,
        repeated: false,
    }
}

const fn many(number: u32, name: &'static str, form: Form) -> Field {
    Field {
        number,
        name,
        form,
        repeated: true,
    }
}

macro_rules! messages {
    ($($constant:ident $name:literal [$($field:expr),* $(,)?])*) => {
        $(
            #[doc = $name]
            pub static $constant: Message = Message { name: $name, fields: &[$($field),*] };
        )*

        /// Returns the message of a kind.
        pub fn message(kind: &str) -> Option<&'static Message> {
            let all = [$(&$constant),*];
            all.into_iter().find(|message| message.name == kind)
        }
    };
}

use Form::{Blob, Blobs, Number, NumberOrText, Of, Text, Texts, Time, Truth};

messages! {
    TYPE_META "TypeMeta" [one(1, "apiVersion", Text), one(2, "kind", Text)]
    UNKNOWN "Unknown" [
        one(1, "typeMeta", Of(&TYPE_META)), one(2, "raw", Blob),
        one(3, "contentEncoding", Text), one(4, "contentType", Text),
    ]
    TIME "Time" [one(1, "seconds", Number), one(2, "nanos", Number)]
    INT_OR_STRING "IntOrString" [
        one(1, "type", Number), one(2, "intVal", Number), one(3, "strVal", Text),
    ]
    OWNER "OwnerReference" [
        one(5, "apiVersion", Text), one(1, "kind", Text), one(3, "name", Text),
        one(4, "uid", Text), one(6, "controller", Truth), one(7, "blockOwnerDeletion", Truth),
    ]
    META "ObjectMeta" [
        one(1, "name", Text), one(2, "generateName", Text), one(3, "namespace", Text),
        one(4, "selfLink", Text), one(5, "uid", Text), one(6, "resourceVersion", Text),
        one(7, "generation", Number), one(8, "creationTimestamp", Time),
        one(9, "deletionTimestamp", Time), one(10, "deletionGracePeriodSeconds", Number),
        one(11, "labels", Texts), one(12, "annotations", Texts),
        many(13, "ownerReferences", Of(&OWNER)), many(14, "finalizers", Text),
    ]
    PRECONDITIONS "Preconditions" [one(1, "uid", Text), one(2, "resourceVersion", Text)]
    DELETE "DeleteOptions" [
        one(1, "gracePeriodSeconds", Number), one(2, "preconditions", Of(&PRECONDITIONS)),
        one(3, "orphanDependents", Truth), one(4, "propagationPolicy", Text),
        many(5, "dryRun", Text),
    ]
    NAMESPACE_SPEC "NamespaceSpec" [many(1, "finalizers", Text)]
    NAMESPACE_STATUS "NamespaceStatus" [one(1, "phase", Text)]
    NAMESPACE "Namespace" [
        one(1, "metadata", Of(&META)), one(2, "spec", Of(&NAMESPACE_SPEC)),
        one(3, "status", Of(&NAMESPACE_STATUS)),
    ]
    CONFIG_MAP "ConfigMap" [
        one(1, "metadata", Of(&META)), one(2, "data", Texts), one(3, "binaryData", Blobs),
        one(4, "immutable", Truth),
    ]
    SECRET "Secret" [
        one(1, "metadata", Of(&META)), one(2, "data", Blobs), one(3, "type", Text),
        one(4, "stringData", Texts), one(5, "immutable", Truth),
    ]
    OBJECT_REFERENCE "ObjectReference" [
        one(1, "kind", Text), one(2, "namespace", Text), one(3, "name", Text), one(4, "uid", Text),
        one(5, "apiVersion", Text), one(6, "resourceVersion", Text), one(7, "fieldPath", Text),
    ]
    LOCAL_REFERENCE "LocalObjectReference" [one(1, "name", Text)]
    SERVICE_ACCOUNT "ServiceAccount" [
        one(1, "metadata", Of(&META)), many(2, "secrets", Of(&OBJECT_REFERENCE)),
        many(3, "imagePullSecrets", Of(&LOCAL_REFERENCE)),
        one(4, "automountServiceAccountToken", Truth),
    ]
    SERVICE_PORT "ServicePort" [
        one(1, "name", Text), one(2, "protocol", Text), one(3, "port", Number),
        one(4, "targetPort", NumberOrText), one(5, "nodePort", Number),
        one(6, "appProtocol", Text),
    ]
    SERVICE_SPEC "ServiceSpec" [
        many(1, "ports", Of(&SERVICE_PORT)), one(2, "selector", Texts), one(3, "clusterIP", Text),
        one(4, "type", Text), many(5, "externalIPs", Text), one(7, "sessionAffinity", Text),
        one(8, "loadBalancerIP", Text), many(9, "loadBalancerSourceRanges", Text),
        one(10, "externalName", Text), one(11, "externalTrafficPolicy", Text),
        one(12, "healthCheckNodePort", Number), one(13, "publishNotReadyAddresses", Truth),
        one(17, "ipFamilyPolicy", Text), many(18, "clusterIPs", Text),
        many(19, "ipFamilies", Text), one(20, "allocateLoadBalancerNodePorts", Truth),
        one(21, "loadBalancerClass", Text), one(22, "internalTrafficPolicy", Text),
        one(23, "trafficDistribution", Text),
    ]
    BALANCER "LoadBalancerStatus" []
    SERVICE_STATUS "ServiceStatus" [one(1, "loadBalancer", Of(&BALANCER))]
    SERVICE "Service" [
        one(1, "metadata", Of(&META)), one(2, "spec", Of(&SERVICE_SPEC)),
        one(3, "status", Of(&SERVICE_STATUS)),
    ]
    LEASE_SPEC "LeaseSpec" [
        one(1, "holderIdentity", Text), one(2, "leaseDurationSeconds", Number),
        one(3, "acquireTime", Time), one(4, "renewTime", Time), one(5, "leaseTransitions", Number),
        one(6, "strategy", Text), one(7, "preferredHolder", Text),
    ]
    LEASE "Lease" [one(1, "metadata", Of(&META)), one(2, "spec", Of(&LEASE_SPEC))]
    POLICY_RULE "PolicyRule" [
        many(1, "verbs", Text), many(2, "apiGroups", Text), many(3, "resources", Text),
        many(4, "resourceNames", Text), many(5, "nonResourceURLs", Text),
    ]
    ROLE "Role" [one(1, "metadata", Of(&META)), many(2, "rules", Of(&POLICY_RULE))]
    CLUSTER_ROLE "ClusterRole" [one(1, "metadata", Of(&META)), many(2, "rules", Of(&POLICY_RULE))]
    SUBJECT "Subject" [
        one(1, "kind", Text), one(2, "apiGroup", Text), one(3, "name", Text),
        one(4, "namespace", Text),
    ]
    ROLE_REF "RoleRef" [one(1, "apiGroup", Text), one(2, "kind", Text), one(3, "name", Text)]
    ROLE_BINDING "RoleBinding" [
        one(1, "metadata", Of(&META)), many(2, "subjects", Of(&SUBJECT)),
        one(3, "roleRef", Of(&ROLE_REF)),
    ]
    CLUSTER_ROLE_BINDING "ClusterRoleBinding" [
        one(1, "metadata", Of(&META)), many(2, "subjects", Of(&SUBJECT)),
        one(3, "roleRef", Of(&ROLE_REF)),
    ]
    BOUND "BoundObjectReference" [
        one(1, "kind", Text), one(2, "apiVersion", Text), one(3, "name", Text), one(4, "uid", Text),
    ]
    TOKEN_REQUEST_SPEC "TokenRequestSpec" [
        many(1, "audiences", Text), one(3, "boundObjectRef", Of(&BOUND)),
        one(4, "expirationSeconds", Number),
    ]
    TOKEN_REQUEST_STATUS "TokenRequestStatus" [
        one(1, "token", Text), one(2, "expirationTimestamp", Time),
    ]
    TOKEN_REQUEST "TokenRequest" [
        one(1, "metadata", Of(&META)), one(2, "spec", Of(&TOKEN_REQUEST_SPEC)),
        one(3, "status", Of(&TOKEN_REQUEST_STATUS)),
    ]
    USER "UserInfo" [
        one(1, "username", Text), one(2, "uid", Text), many(3, "groups", Text),
    ]
    TOKEN_REVIEW_SPEC "TokenReviewSpec" [one(1, "token", Text), many(2, "audiences", Text)]
    TOKEN_REVIEW_STATUS "TokenReviewStatus" [
        one(1, "authenticated", Truth), one(2, "user", Of(&USER)), one(3, "error", Text),
        many(4, "audiences", Text),
    ]
    TOKEN_REVIEW "TokenReview" [
        one(1, "metadata", Of(&META)), one(2, "spec", Of(&TOKEN_REVIEW_SPEC)),
        one(3, "status", Of(&TOKEN_REVIEW_STATUS)),
    ]
    RESOURCE_ATTRIBUTES "ResourceAttributes" [
        one(1, "namespace", Text), one(2, "verb", Text), one(3, "group", Text),
        one(4, "version", Text), one(5, "resource", Text), one(6, "subresource", Text),
        one(7, "name", Text),
    ]
    PATH_ATTRIBUTES "NonResourceAttributes" [one(1, "path", Text), one(2, "verb", Text)]
    ACCESS_STATUS "SubjectAccessReviewStatus" [
        one(1, "allowed", Truth), one(2, "reason", Text), one(3, "evaluationError", Text),
        one(4, "denied", Truth),
    ]
    SELF_ACCESS_SPEC "SelfSubjectAccessReviewSpec" [
        one(1, "resourceAttributes", Of(&RESOURCE_ATTRIBUTES)),
        one(2, "nonResourceAttributes", Of(&PATH_ATTRIBUTES)),
    ]
    SELF_ACCESS "SelfSubjectAccessReview" [
        one(1, "metadata", Of(&META)), one(2, "spec", Of(&SELF_ACCESS_SPEC)),
        one(3, "status", Of(&ACCESS_STATUS)),
    ]
    RULES_STATUS "SubjectRulesReviewStatus" [
        one(3, "incomplete", Truth), one(4, "evaluationError", Text),
    ]
    SELF_RULES_SPEC "SelfSubjectRulesReviewSpec" [one(1, "namespace", Text)]
    SELF_RULES "SelfSubjectRulesReview" [
        one(1, "metadata", Of(&META)), one(2, "spec", Of(&SELF_RULES_SPEC)),
        one(3, "status", Of(&RULES_STATUS)),
    ]
}
