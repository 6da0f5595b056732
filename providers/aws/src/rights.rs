//! What credentials may not do: each call is made as a dry run, which changes nothing
//! (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonParameters.html>).

use std::error::Error;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::types::{AttributeBooleanValue, IpPermission};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use meshvm_provider_api::{
    Batch, BatchKey, ErrorClass, Hash, Labels, Ownership, ProviderError, Requests, Template,
};
use uuid::Uuid;

use crate::check::{self, quota};
use crate::client::Client;
use crate::connect;
use crate::error::{self, DRY_RUN};
use crate::group;
use crate::launch;
use crate::observe;
use crate::policy::{ACTIONS, Action};
use crate::recipe::Recipe;
use crate::resolve;

/// A call that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The right that is missing, such as `ec2:RunInstances`.
    pub right: String,
    /// What the cloud said.
    pub message: String,
}

/// Returns which of the calls that a stack takes are refused, with the template of one of its
/// fleets. Changes nothing; one call for each right.
///
/// What changes machines and groups is tried on one of the stack: the least policy allows it on no
/// other, so that without one it is left out.
///
/// # Errors
/// When the cloud does not answer, or the credentials are none.
pub async fn denied(stack: &str, template: &Template) -> Result<Vec<Denied>, ProviderError> {
    let config = connect::config(&template.scope, None).await?;
    let client = Client::new(&config, Requests::default());
    let mut tried = Tried::default();
    tried.add(status(&client).await)?;
    tried.add(volumes(&client).await)?;
    tried.add(types(&client).await)?;
    tried.add(groups(&client).await)?;
    tried.add(quota::of_standard(&client).await)?;
    let asked = Recipe::of(template)?.asked;
    if let Some(profile) = &asked.instance_profile {
        tried.add(check::profile(&client, profile).await)?;
    }
    if asked.security_group.is_some() {
        tried.add(make_group(&client).await)?;
        let own = group::of_stack(&client, stack).await;
        let id = own.as_ref().ok().and_then(|it| it.first()?.group_id());
        if let Some(id) = id {
            tried.add(let_in(&client, id).await)?;
            tried.add(keep_out(&client, id).await)?;
            tried.add(delete_group(&client, id).await)?;
        }
        tried.add(own.map(drop))?;
    }
    let listed = observe::instances(&client, &observe::of_stack(stack)).await;
    let own = listed.as_ref().map_or(&[][..], Vec::as_slice).iter();
    let own = own.filter(|instance| crate::machine::of(instance, &[].into()).is_some());
    let machine = own
        .filter_map(|it| it.instance_id())
        .next()
        .map(str::to_owned);
    tried.add(listed.map(drop))?;
    // Only with a real image is the making of machines judged.
    match resolve::template(&client, template).await {
        Ok(template) => tried.add(run(&client, stack, &template).await)?,
        Err(error) => tried.add(Err(error))?,
    }
    if let Some(id) = machine {
        tried.add(set_tags(&client, &id).await)?;
        tried.add(remove_tags(&client, &id).await)?;
        tried.add(start(&client, &id).await)?;
        tried.add(stop(&client, &id).await)?;
        tried.add(terminate(&client, &id).await)?;
        tried.add(modify(&client, &id).await)?;
        tried.add(modify_metadata(&client, &id).await)?;
    }
    Ok(tried.denied)
}

/// What was tried, and is refused.
#[derive(Default)]
struct Tried {
    denied: Vec<Denied>,
}

impl Tried {
    /// Adds an answer.
    ///
    /// # Errors
    /// Those that say nothing of rights, but that nobody can be asked.
    fn add(&mut self, answer: Result<(), ProviderError>) -> Result<(), ProviderError> {
        match answer {
            Err(error) if error.class == ErrorClass::PermissionDenied => {
                let name = error.message.split(':').next().unwrap_or_default();
                let action = ACTIONS.into_iter().find(|action| action.as_str() == name);
                self.denied.push(Denied {
                    right: action.map_or_else(|| name.to_owned(), Action::right),
                    message: error.message,
                });
                Ok(())
            }
            Err(error) if error.class.is_transient() || error.class == ErrorClass::Environment => {
                Err(error)
            }
            // Allowed; whatever else is wrong with it, plans and applies tell.
            Err(_) | Ok(()) => Ok(()),
        }
    }
}

/// Sends a dry run: to be told that it would have succeeded is success.
async fn dry<T, E, F, Fut>(client: &Client, action: Action, call: F) -> Result<(), ProviderError>
where
    T: Send,
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
{
    match client.send(action, call).await {
        Err(error) if error::is(&error, DRY_RUN) => Ok(()),
        answer => answer.map(drop),
    }
}

async fn run(client: &Client, stack: &str, template: &Template) -> Result<(), ProviderError> {
    let recipe = Recipe::of(template)?;
    let found = recipe.found()?;
    let batch = Batch {
        key: BatchKey(Uuid::nil()),
        ownership: Ownership {
            stack: stack.to_owned(),
            fleet: "doctor".to_owned(),
            batch: Some(BatchKey(Uuid::nil())),
            spec: Hash::of(""),
            user_data: None,
        },
        labels: Labels::new(),
        zone: template.zones.first().cloned().unwrap_or_default(),
        count: 1,
        template: template.clone(),
        user_data: String::new(),
        media: Vec::new(),
    };
    let attempts = launch::attempts(&recipe, found, &batch);
    let Some(attempt) = attempts.first() else {
        return Ok(());
    };
    let tags = launch::tags(&recipe, &batch, "doctor");
    let input = launch::request(&recipe, found, &batch, attempt, 1, &tags, None)?;
    let call = || input.clone().dry_run(true).send_with(&client.ec2);
    dry(client, Action::RunInstances, call).await
}

async fn status(client: &Client) -> Result<(), ProviderError> {
    let call = || client.ec2.describe_instance_status().dry_run(true).send();
    dry(client, Action::DescribeInstanceStatus, call).await
}

async fn volumes(client: &Client) -> Result<(), ProviderError> {
    let call = || client.ec2.describe_volumes().dry_run(true).send();
    dry(client, Action::DescribeVolumes, call).await
}

async fn types(client: &Client) -> Result<(), ProviderError> {
    let call = || client.ec2.describe_instance_types().dry_run(true).send();
    dry(client, Action::DescribeInstanceTypes, call).await
}

async fn groups(client: &Client) -> Result<(), ProviderError> {
    let call = || client.ec2.describe_security_groups().dry_run(true).send();
    dry(client, Action::DescribeSecurityGroups, call).await
}

async fn make_group(client: &Client) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.create_security_group().dry_run(true);
        call.group_name(TRIED).description(TRIED).send()
    };
    dry(client, Action::CreateSecurityGroup, call).await
}

/// A rule that lets nobody in.
fn nobody() -> IpPermission {
    group::permission(&(1, "127.0.0.1/32".to_owned()))
}

async fn let_in(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.authorize_security_group_ingress().dry_run(true);
        call.group_id(id).ip_permissions(nobody()).send()
    };
    dry(client, Action::AuthorizeSecurityGroupIngress, call).await
}

async fn keep_out(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.revoke_security_group_ingress().dry_run(true);
        call.group_id(id).ip_permissions(nobody()).send()
    };
    dry(client, Action::RevokeSecurityGroupIngress, call).await
}

async fn delete_group(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.delete_security_group().dry_run(true);
        call.group_id(id).send()
    };
    dry(client, Action::DeleteSecurityGroup, call).await
}

/// The tag of the tries, which are none.
const TRIED: &str = "meshvm-doctor";

async fn set_tags(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.create_tags().dry_run(true).resources(id);
        call.tags(launch::tag(TRIED, "")).send()
    };
    dry(client, Action::CreateTags, call).await
}

async fn remove_tags(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.delete_tags().dry_run(true).resources(id);
        call.tags(launch::tag(TRIED, "")).send()
    };
    dry(client, Action::DeleteTags, call).await
}

async fn start(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        client
            .ec2
            .start_instances()
            .dry_run(true)
            .instance_ids(id)
            .send()
    };
    dry(client, Action::StartInstances, call).await
}

async fn stop(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        client
            .ec2
            .stop_instances()
            .dry_run(true)
            .instance_ids(id)
            .send()
    };
    dry(client, Action::StopInstances, call).await
}

async fn terminate(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.terminate_instances().dry_run(true);
        call.instance_ids(id).send()
    };
    dry(client, Action::TerminateInstances, call).await
}

async fn modify(client: &Client, id: &str) -> Result<(), ProviderError> {
    let same = AttributeBooleanValue::builder().value(false).build();
    let call = || {
        let call = client.ec2.modify_instance_attribute().dry_run(true);
        call.instance_id(id)
            .disable_api_termination(same.clone())
            .send()
    };
    dry(client, Action::ModifyInstanceAttribute, call).await
}

async fn modify_metadata(client: &Client, id: &str) -> Result<(), ProviderError> {
    let call = || {
        let call = client.ec2.modify_instance_metadata_options().dry_run(true);
        call.instance_id(id).send()
    };
    dry(client, Action::ModifyInstanceMetadataOptions, call).await
}
