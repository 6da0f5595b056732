//! What answers and failures are taken for.

use super::*;

fn refused(code: u16, message: &str) -> KubernetesError {
    let status = Status {
        code,
        message: message.to_owned(),
        ..Status::default()
    };
    KubernetesError::of("apply it", kube::Error::Api(Box::new(status)))
}

#[test]
fn what_does_not_fit_its_schema_is_not_tried_again() {
    let unfit = "failed to create typed patch object (vm/w; networking.istio.io/v1, \
                 Kind=WorkloadGroup): .spec.template.ports.http: expected numeric";
    for (code, message, class) in [
        (500, unfit, ErrorClass::Invalid),
        (
            500,
            "etcdserver: request timed out",
            ErrorClass::Unavailable,
        ),
        (503, "", ErrorClass::Unavailable),
        (429, "", ErrorClass::Throttled),
        (422, "is invalid", ErrorClass::Invalid),
        (409, "the object has been modified", ErrorClass::Conflict),
        (403, "forbidden", ErrorClass::PermissionDenied),
        (418, "", ErrorClass::Unrecognized),
    ] {
        assert_eq!(refused(code, message).class(), class, "{code} {message}");
    }
}

#[test]
fn a_page_of_another_server_is_not_shown() {
    let status = Status {
        code: 404,
        message: "<!DOCTYPE HTML>".to_owned(),
        reason: "Failed to parse error data".to_owned(),
        ..Status::default()
    };
    let error = KubernetesError::of("read it", kube::Error::Api(Box::new(status)));
    assert!(!error.to_string().contains("DOCTYPE"), "{error}");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("kubectl version"))
    );
}

#[test]
fn an_answer_without_words_is_told_by_its_code() {
    let error = refused(503, "").to_string();
    assert_eq!(error, "cannot apply it: the API server answered 503");
}

#[test]
fn a_refusal_that_no_role_and_no_patience_mends_says_what_does() {
    let hint = |code, message| refused(code, message).hint().unwrap();
    let unfit =
        "failed to create typed patch object (vm/web): .spec.probe: field not declared in schema";
    assert!(hint(500, unfit).contains("CRDs"));
    assert!(hint(500, "etcdserver: request timed out").contains("try again"));
    let ending = "serviceaccounts \"web\" is forbidden: unable to create new content in namespace \
                  vm because it is being terminated";
    assert!(hint(403, ending).contains("namespace is being deleted"));
    assert!(hint(403, "serviceaccounts is forbidden").contains("docs/rbac.md"));
    assert!(hint(429, "").contains("later"));
}

#[test]
fn what_others_hold_of_many_objects_is_told_once() {
    let refusal = |name: usize, field: &str| Refusal {
        object: ObjectRef {
            namespace: "vm".to_owned(),
            kind: "WorkloadEntry".to_owned(),
            name: format!("web-{name}"),
        },
        fields: vec![HeldField {
            field: field.to_owned(),
            manager: "\"kubectl\"".to_owned(),
            theirs: name.to_string(),
            ours: Some("1".to_owned()),
        }],
    };
    let mut held: Vec<Refusal> = (0..300).map(|n| refusal(n, ".spec.weight")).collect();
    held.push(refusal(300, ".spec.network"));
    let said = KubernetesError::Conflict(held).to_string();
    let expected = "WorkloadEntry vm/web-0 has fields that others set: .spec.weight is 0 by \"kubectl\", \
                    and shall be 1; so have 299 more: WorkloadEntry vm/web-1, ";
    assert!(said.starts_with(expected), "{said}");
    assert!(
        said.contains(" and 293 more; and WorkloadEntry vm/web-300 has fields"),
        "{said}"
    );
    assert_eq!(said.matches(".spec.weight").count(), 1, "{said}");
}
