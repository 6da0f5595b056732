//! The API without a network: a request goes in, an answer comes out.
//!
//! Does no I/O, but takes uids and the ends of generated names from the computer's randomness.
//! The time comes with each request.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::auth::User;
use super::auth::rbac::{self, Wish};
use super::auth::tokens::Signer;
use super::kinds::{Kind, KindId, Kinds, Nature, Version};
use super::lifecycle::Chore;
use super::status::Refusal;
use super::store::{Key, Store};
use super::{reviews, verbs};

/// The cluster's state.
#[derive(Debug)]
pub struct Api {
    /// The kinds.
    pub kinds: Arc<Kinds>,
    /// The objects.
    pub store: Store,
    /// The key that signs tokens.
    pub signer: Signer,
    /// What the controllers have yet to do.
    pub chores: VecDeque<Chore>,
    /// The certificate of the server, for pods and others inside.
    pub ca_pem: String,
}

/// What is done to objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// One is read.
    Get,
    /// Many are read.
    List,
    /// Changes are told as they come.
    Watch,
    /// One is made.
    Create,
    /// One is replaced.
    Update,
    /// One is changed, or applied.
    Patch,
    /// One is taken away.
    Delete,
    /// Many are taken away.
    DeleteCollection,
}

impl Verb {
    /// Returns the verb as roles have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// A request about objects.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks.
    pub user: User,
    /// What is to be done.
    pub verb: Verb,
    /// The kind.
    pub kind: KindId,
    /// The version of the kind.
    pub version: String,
    /// The namespace; empty for all, or for none.
    pub namespace: String,
    /// The name; empty for none.
    pub name: String,
    /// The subresource; empty for none.
    pub subresource: String,
    /// The query.
    pub query: Query,
    /// The type of the body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// The program that asks.
    pub agent: String,
    /// When.
    pub now: Timestamp,
}

/// What the query of a request says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// `fieldManager`.
    pub field_manager: String,
    /// `force`.
    pub force: bool,
    /// `dryRun`.
    pub dry_run: bool,
    /// `fieldValidation`.
    pub field_validation: String,
    /// `labelSelector`.
    pub label_selector: String,
    /// `fieldSelector`.
    pub field_selector: String,
    /// `limit`; 0 for none.
    pub limit: usize,
    /// `continue`.
    pub continue_from: String,
    /// `resourceVersion`.
    pub resource_version: String,
    /// `resourceVersionMatch`.
    pub version_match: String,
    /// `watch`.
    pub watch: bool,
    /// `allowWatchBookmarks`.
    pub bookmarks: bool,
    /// `sendInitialEvents`.
    pub initial_events: bool,
    /// `timeoutSeconds`.
    pub timeout: Option<u64>,
    /// `propagationPolicy`.
    pub propagation: String,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP code.
    pub code: u16,
    /// The body.
    pub body: Value,
    /// What the client ought to know.
    pub warnings: Vec<String>,
}

impl Answer {
    /// An answer without warnings.
    pub fn of(code: u16, body: Value) -> Self {
        Self {
            code,
            body,
            warnings: Vec::new(),
        }
    }
}

impl Api {
    /// Does what a request asks for. A watch only gets its check here.
    ///
    /// # Errors
    ///
    /// What a real server would refuse it with.
    pub fn handle(&mut self, request: &Request) -> Result<Answer, Refusal> {
        self.authorize(request)?;
        let kind = self.kinds.get(request.kind);
        if let Nature::Review(review) = kind.nature {
            return match request.verb {
                Verb::Create => reviews::answer(self, request, review),
                _ => Err(Refusal::method_not_allowed()),
            };
        }
        let offered = match request.subresource.as_str() {
            "" => kind.verbs().contains(&request.verb.name()),
            "status" => {
                kind.status
                    && matches!(request.verb, Verb::Get | Verb::Update | Verb::Patch)
                    && kind.nature != Nature::ReadOnly
            }
            "token" if kind.plural == "serviceaccounts" && kind.group.is_empty() => {
                return match request.verb {
                    Verb::Create => reviews::token_request(self, request),
                    _ => Err(Refusal::method_not_allowed()),
                };
            }
            _ => return Err(Refusal::no_such_path()),
        };
        if !offered {
            return Err(Refusal::method_not_allowed());
        }
        match request.verb {
            Verb::Get => verbs::read::get(self, request),
            Verb::List => verbs::read::list(self, request),
            Verb::Watch => Ok(Answer::of(200, Value::Null)),
            Verb::Create => verbs::create::create(self, request),
            Verb::Update => verbs::update::replace(self, request),
            Verb::Patch => verbs::patch::patch(self, request),
            Verb::Delete => verbs::delete::delete(self, request),
            Verb::DeleteCollection => verbs::delete::collection(self, request),
        }
    }

    fn authorize(&self, request: &Request) -> Result<(), Refusal> {
        self.authorize_verb(request, request.verb.name())
    }

    /// Checks that the asker may do something else with the object that a request is about.
    ///
    /// # Errors
    ///
    /// 403 when not.
    pub fn authorize_verb(&self, request: &Request, verb: &str) -> Result<(), Refusal> {
        let kind = self.kinds.get(request.kind);
        let resource = match request.subresource.as_str() {
            "" => kind.plural.clone(),
            sub => format!("{}/{sub}", kind.plural),
        };
        // A namespace is in itself, when it is named.
        let namespace = match kind.plural.as_str() {
            "namespaces" if kind.group.is_empty() => &request.name,
            _ => &request.namespace,
        };
        let wish = Wish::Resource {
            verb,
            group: &kind.group,
            resource: &resource,
            namespace,
            name: &request.name,
        };
        if rbac::allows(&self.kinds, &self.store, &request.user, &wish) {
            return Ok(());
        }
        let why = rbac::refusal(&request.user, &wish);
        Err(Refusal::forbidden(
            &kind.group,
            &kind.plural,
            &request.name,
            &why,
        ))
    }

    /// Returns the kind that a request is about, and its version.
    ///
    /// # Errors
    ///
    /// 404 when the kind is not served in that version.
    pub fn kind_of(&self, request: &Request) -> Result<(&Kind, &Version), Refusal> {
        let kind = self.kinds.get(request.kind);
        let version = kind.version(&request.version);
        Ok((kind, version.ok_or_else(Refusal::no_such_path)?))
    }

    /// Returns a kind of the core by its name in paths.
    ///
    /// # Panics
    ///
    /// When there is none of this name.
    pub fn core(&self, plural: &str) -> KindId {
        let found = self.kinds.find("", plural);
        found.unwrap_or_else(|| unreachable!("{plural} is a kind of the core"))
    }
}

impl Request {
    /// Returns where the object is that is asked for.
    pub fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    /// Returns the time as objects have it.
    pub fn time(&self) -> String {
        stamp(self.now)
    }
}

/// Returns a time as objects have it, in whole seconds.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
