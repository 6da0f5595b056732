//! The fleet in Terraform: as instances with a count, and as one group that scales by itself.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::measure::{Run, Stage};
use crate::tool::{IMAGE, REGION, Step, TEAMS, TYPE, Tool};

/// The version of the `aws` provider.
const PROVIDER: &str = "5.100.0";
/// Names a folder that the provider is in, as `terraform providers mirror` makes it.
const FOLDER: &str = "MESHVM_TERRAFORM_PLUGINS";

/// Where Terraform takes its provider from.
#[derive(Clone, Debug)]
pub struct Plugins(Option<PathBuf>);

impl Plugins {
    /// Looks whether Terraform and its provider can be had.
    ///
    /// # Errors
    /// Says what is missing, and how to get it.
    pub fn find() -> Result<Self, String> {
        let version = Command::new("terraform").arg("version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            return Err(
                "there is no `terraform` on the PATH; developer.hashicorp.com/terraform/install \
                 says how to get it"
                    .to_owned(),
            );
        }
        let plugins = Self(std::env::var_os(FOLDER).map(PathBuf::from));
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        std::fs::write(folder.path().join("main.tf"), head("http://127.0.0.1:1"))
            .map_err(|error| error.to_string())?;
        let mut init = Command::new("terraform");
        init.current_dir(folder.path()).args(plugins.init());
        let output = init.output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(plugins),
            false => Err(format!(
                "its provider hashicorp/aws {PROVIDER} is not here: let `terraform init` reach a \
                 registry, or fill a folder with `terraform providers mirror FOLDER` where it \
                 does, and name that in {FOLDER}"
            )),
        }
    }

    fn init(&self) -> Vec<String> {
        let mut arguments = vec!["init".to_owned(), "-input=false".to_owned()];
        let folder = self.0.as_ref();
        arguments.extend(folder.map(|folder| format!("-plugin-dir={}", folder.display())));
        arguments
    }
}

/// As what the machines are declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// As that many instances.
    Instances,
    /// As one group with a launch template.
    Group,
}

/// Terraform with its `aws` provider.
pub struct Terraform {
    what: What,
    plugins: Plugins,
}

impl Terraform {
    /// Prepares it.
    pub fn new(what: What, plugins: Plugins) -> Self {
        Self { what, plugins }
    }

    fn arguments(verb: &[&str], size: u32, team: &str) -> Vec<std::ffi::OsString> {
        let mut arguments: Vec<String> = verb.iter().map(|it| (*it).to_owned()).collect();
        arguments.extend([
            "-input=false".to_owned(),
            format!("-var=size={size}"),
            format!("-var=team={team}"),
        ]);
        arguments.into_iter().map(Into::into).collect()
    }
}

/// Returns the head of a configuration: which provider, and where its server is.
fn head(endpoint: &str) -> String {
    let services = ["ec2", "ssm", "sts", "iam", "autoscaling"];
    let endpoints: String = services
        .map(|service| format!("    {service} = \"{endpoint}\"\n"))
        .concat();
    format!(
        r##"terraform {{
  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "{PROVIDER}"
    }}
  }}
}}

provider "aws" {{
  region                      = "{REGION}"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints {{
{endpoints}  }}
}}

variable "size" {{ type = number }}
variable "team" {{ type = string }}

data "aws_ssm_parameter" "image" {{ name = "{IMAGE}" }}

data "aws_subnets" "default" {{
  filter {{
    name   = "default-for-az"
    values = ["true"]
  }}
}}
"##
    )
}

/// The machines as instances.
fn instances() -> String {
    format!(
        r##"
resource "aws_instance" "web" {{
  count         = var.size
  ami           = data.aws_ssm_parameter.image.insecure_value
  instance_type = "{TYPE}"
  subnet_id     = element(sort(data.aws_subnets.default.ids), count.index)
  user_data     = "#cloud-config\n{{}}\n"

  metadata_options {{
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }}

  tags = {{
    Name = "bench-web"
    team = var.team
  }}
}}
"##
    )
}

/// The machines as a group: the tag reaches those that it makes from then on.
fn group() -> String {
    format!(
        r##"
resource "aws_launch_template" "web" {{
  name          = "bench-web"
  image_id      = data.aws_ssm_parameter.image.insecure_value
  instance_type = "{TYPE}"
  user_data     = base64encode("#cloud-config\n{{}}\n")

  metadata_options {{
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }}
}}

resource "aws_autoscaling_group" "web" {{
  name                = "bench-web"
  min_size            = var.size
  max_size            = var.size
  vpc_zone_identifier = sort(data.aws_subnets.default.ids)

  launch_template {{
    id      = aws_launch_template.web.id
    version = aws_launch_template.web.latest_version
  }}

  tag {{
    key                 = "team"
    value               = var.team
    propagate_at_launch = true
  }}
}}
"##
    )
}

impl Tool for Terraform {
    fn name(&self) -> &'static str {
        match self.what {
            What::Instances => "Terraform, aws_instance",
            What::Group => "Terraform, aws_autoscaling_group",
        }
    }

    fn set_up(&self, stage: &Stage, _: u32) -> Result<(), Box<dyn Error>> {
        let mut text = head(&stage.endpoint());
        text.push_str(&match self.what {
            What::Instances => instances(),
            What::Group => group(),
        });
        std::fs::write(stage.folder().join("main.tf"), text)?;
        let init = stage
            .command("terraform")
            .args(self.plugins.init())
            .output()?;
        match init.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&init.stderr).into()),
        }
    }

    fn run(&self, _: &Stage, size: u32, step: Step) -> Result<Option<Run>, Box<dyn Error>> {
        let [before, after] = TEAMS;
        let apply: &[&str] = &["apply", "-auto-approve"];
        let plan: &[&str] = &["plan", "-detailed-exitcode"];
        let (verb, team, codes): (_, _, &'static [i32]) = match (step, self.what) {
            (Step::FirstApply, _) => (apply, before, &[0]),
            (Step::PlanWithoutChange, _) => (plan, before, &[0]),
            // A group mends itself, and hides from a plan what became of its machines.
            (Step::PlanWithOneGone, _) => (plan, before, &[0, 2]),
            (Step::AnotherTag, _) => (apply, after, &[0]),
            (Step::Destroy, _) => (&["destroy", "-auto-approve"][..], after, &[0]),
        };
        Ok(Some(Run {
            program: "terraform".into(),
            arguments: Self::arguments(verb, size, team),
            codes,
        }))
    }

    fn check(&self, stage: &Stage, size: u32, step: Step) -> Result<(), Box<dyn Error>> {
        let count = stage.instances()?.len();
        let expected = match (self.what, step) {
            (_, Step::Destroy) => 0,
            (What::Instances, Step::PlanWithOneGone) => size as usize - 1,
            // The server does not mend groups: only that Terraform did nothing is known.
            (What::Group, Step::PlanWithOneGone | Step::AnotherTag) => return Ok(()),
            (_, Step::FirstApply | Step::PlanWithoutChange | Step::AnotherTag) => size as usize,
        };
        match count == expected {
            true => Ok(()),
            false => Err(format!(
                "{}: {} left {count} machines, {expected} were expected",
                self.name(),
                step.name()
            )
            .into()),
        }
    }

    fn is_killed(&self) -> bool {
        match self.what {
            What::Instances => true,
            // One call makes its machines.
            What::Group => false,
        }
    }

    fn known(&self, stage: &Stage) -> Result<Vec<String>, Box<dyn Error>> {
        let path = stage.folder().join("terraform.tfstate");
        let text = match std::fs::read(path) {
            Ok(text) => text,
            // Killed before it wrote its state once.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        // It writes its state over the old one: killed there, it has none.
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let state: Value = serde_json::from_slice(&text)?;
        let resources = state["resources"].as_array().into_iter().flatten();
        let instances = resources
            .filter(|resource| resource["type"] == "aws_instance")
            .flat_map(|resource| resource["instances"].as_array().into_iter().flatten());
        let ids = instances.filter_map(|it| it["attributes"]["id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    }
}
