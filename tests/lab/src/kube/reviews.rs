//! Questions that are answered and not kept: tokens, and what somebody may do.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::api::{Answer, Api, Request, stamp};
use super::auth::User;
use super::auth::rbac::{self, Wish};
use super::auth::tokens::{About, Bound, Claims, ISSUER};
use super::kinds::{Kind, Review};
use super::status::{FieldFault, Refusal};
use super::store::uid;
use super::verbs::admit;

/// Answers a question.
///
/// # Errors
///
/// 400 and 422 when the question is not right.
pub fn answer(api: &Api, request: &Request, review: Review) -> Result<Answer, Refusal> {
    let (kind, version) = api.kind_of(request)?;
    let mut question = admit::decode(request, kind)?;
    admit::place(&mut question, request, false)?;
    let warnings = admit::fit(request, kind, version, &mut question)?;
    let spec = &question["spec"];
    let status = match review {
        Review::Token => token(api, kind, spec, request.now)?,
        Review::SelfAccess => access(api, kind, &request.user, spec)?,
        Review::Access => access(api, kind, &subject(spec), spec)?,
        Review::SelfRules => self_rules(api, &request.user, spec),
    };
    question["status"] = status;
    question["metadata"] = json!({"creationTimestamp": null});
    Ok(Answer {
        code: 201,
        body: question,
        warnings,
    })
}

fn token(api: &Api, kind: &Kind, spec: &Value, now: Timestamp) -> Result<Value, Refusal> {
    let token = spec["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        let why = "token is required for TokenReview in authentication";
        return Err(Refusal::bad_request(format!("{why} ({})", kind.kind)));
    }
    let asked = spec["audiences"].as_array().into_iter().flatten();
    let mut audiences: Vec<String> = asked.filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let checked = api
        .signer
        .check(token, &audiences, &api.kinds, &api.store, now.as_second());
    Ok(match checked {
        Ok((user, audiences)) => {
            json!({"authenticated": true, "user": user.to_value(), "audiences": audiences})
        }
        Err(why) => json!({"authenticated": false, "user": {}, "error": why}),
    })
}

fn subject(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten();
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: String::new(),
        groups: groups
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        extra: Map::new(),
    }
}

fn access(api: &Api, kind: &Kind, user: &User, spec: &Value) -> Result<Value, Refusal> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = &spec["resourceAttributes"];
    let path = &spec["nonResourceAttributes"];
    let (verb, group, mut name, namespace, of, url) = (
        text(&resource["verb"]),
        text(&resource["group"]),
        text(&resource["resource"]),
        text(&resource["namespace"]),
        text(&resource["name"]),
        text(&path["path"]),
    );
    if let Some(sub) = resource["subresource"].as_str().filter(|s| !s.is_empty()) {
        name = format!("{name}/{sub}");
    }
    let path_verb = text(&path["verb"]);
    let wish = match (resource.is_object(), path.is_object()) {
        (true, false) => Wish::Resource {
            verb: &verb,
            group: &group,
            resource: &name,
            namespace: &namespace,
            name: &of,
        },
        (false, true) => Wish::Path {
            verb: &path_verb,
            path: &url,
        },
        _ => {
            let why =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let fault = FieldFault::invalid("spec.resourceAttributes", resource, why);
            return Err(Refusal::invalid(&kind.group, &kind.kind, "", &[fault]));
        }
    };
    let allowed = rbac::allows(&api.kinds, &api.store, user, &wish);
    Ok(json!({"allowed": allowed}))
}

fn self_rules(api: &Api, user: &User, spec: &Value) -> Value {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    let mut rules = rbac::rules(&api.kinds, &api.store, user, namespace);
    if user
        .groups
        .iter()
        .any(|group| group == super::auth::MASTERS)
    {
        rules.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        rules.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    let (paths, resources): (Vec<Value>, Vec<Value>) = rules
        .into_iter()
        .partition(|rule| rule.get("nonResourceURLs").is_some());
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

/// Makes a token of a service account, the subresource `token`.
///
/// # Errors
///
/// 404 when there is no such account or no such Secret to bind it to, 409 when that is another
/// one, 422 when the token would be too short.
pub fn token_request(api: &mut Api, request: &Request) -> Result<Answer, Refusal> {
    const GROUP: &str = "authentication.k8s.io";
    const KIND: &str = "TokenRequest";
    let mut question = admit::yaml(&request.body)?;
    let account = api.store.get(request.kind, &request.key());
    let account =
        account.ok_or_else(|| Refusal::not_found("", "serviceaccounts", &request.name))?;
    if question["spec"].is_null() {
        question["spec"] = json!({});
    }
    let spec = &mut question["spec"];
    let seconds = spec["expirationSeconds"].as_i64().unwrap_or(3600);
    let why = match seconds {
        ..600 => "may not specify a duration less than 10 minutes",
        4_294_967_297.. => "may not specify a duration larger than 2^32 seconds",
        _ => "",
    };
    if !why.is_empty() {
        let fault = FieldFault::invalid("spec.expirationSeconds", &json!(seconds), why);
        return Err(Refusal::invalid(GROUP, KIND, "", &[fault]));
    }
    let asked = spec["audiences"].as_array().into_iter().flatten();
    let mut audiences: Vec<String> = asked.filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let now = request.now.as_second();
    let claims = Claims {
        aud: audiences.clone(),
        exp: now + seconds,
        iat: now,
        iss: ISSUER.to_owned(),
        jti: Uuid::new_v4().to_string(),
        about: About {
            namespace: request.namespace.clone(),
            serviceaccount: Bound {
                name: request.name.clone(),
                uid: uid(account).unwrap_or_default().to_owned(),
            },
            secret: bound(api, request, &spec["boundObjectRef"])?,
        },
        nbf: now,
        sub: format!(
            "system:serviceaccount:{}:{}",
            request.namespace, request.name
        ),
    };
    let signed = api.signer.sign(&claims);
    let token = signed.map_err(|_| Refusal::internal("the key cannot sign"))?;
    let until = request
        .now
        .saturating_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX);
    spec["audiences"] = json!(audiences);
    spec["expirationSeconds"] = json!(seconds);
    let body = json!({
        "kind": KIND,
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": request.name,
            "namespace": request.namespace,
            "creationTimestamp": stamp(request.now),
        },
        "spec": spec,
        "status": {"token": token, "expirationTimestamp": stamp(until)},
    });
    Ok(Answer::of(201, body))
}

/// Finds the Secret that a token is to be bound to.
fn bound(api: &Api, request: &Request, reference: &Value) -> Result<Option<Bound>, Refusal> {
    if reference.is_null() {
        return Ok(None);
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default();
    if text("kind") != "Secret" || !matches!(text("apiVersion"), "v1" | "") {
        return Err(Refusal::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to object of type {}, Kind={}",
            request.name,
            text("apiVersion"),
            text("kind"),
        )));
    }
    let name = text("name");
    let key = (request.namespace.clone(), name.to_owned());
    let secret = api.store.get(api.core("secrets"), &key);
    let secret = secret.ok_or_else(|| Refusal::not_found("", "secrets", name))?;
    let known = uid(secret).unwrap_or_default();
    let wanted = text("uid");
    if !wanted.is_empty() && wanted != known {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        );
        return Err(Refusal::conflict("", "Secret", name, &why));
    }
    Ok(Some(Bound {
        name: name.to_owned(),
        uid: known.to_owned(),
    }))
}
