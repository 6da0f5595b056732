//! Templates: how they are checked and filled.
//!
//! Handlebars in strict mode, without its escaping for HTML: the languages here
//! are shell and YAML, and a value says by its helper which of them it lands in.
//! A template in which a value lands without a helper is refused, meshvm's own
//! like a user's; a user who means it writes `{{unquoted value}}`.

use std::fmt;
use std::sync::LazyLock;

use handlebars::template::{HelperTemplate, Template, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy as _, Output, RenderContext,
    RenderErrorReason, Renderable as _, no_escape,
};
use serde_json::Value;
use thiserror::Error;

use super::quote::{self, QuoteError, QuoteHelper};

/// The helper by which a user's template inserts a value as it is.
const UNQUOTED: &str = "unquoted";

/// The blocks that templates may use.
const BLOCKS: [&str; 5] = ["if", "unless", "each", "with", "raw"];

/// Whose template it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// meshvm's: every value is quoted.
    Meshvm,
    /// A user's: a value may be inserted unquoted when the template says so.
    User,
}

/// What is wrong with a template, and in which of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct TemplateError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the template: {}", self.line, self.problem)
    }
}

/// What is wrong in a line of a template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// It is not handlebars.
    #[error("{0}")]
    Syntax(String),
    /// A value lands in the text as it is.
    #[error(
        "`{{{{{0}}}}}` inserts a value without quoting it; write `{{{{yaml {0}}}}}`, `{{{{json {0}}}}}`, \
         `{{{{sh {0}}}}}` or `{{{{base64 {0}}}}}`, or `{{{{unquoted {0}}}}}` where that is meant"
    )]
    Unquoted(String),
    /// A part of handlebars that has no use here.
    #[error("{0} cannot be used here")]
    Unsupported(String),
    /// A value that the template asks for does not exist.
    #[error("there is no value `{0}`")]
    Missing(String),
    /// A value that its helper cannot quote.
    #[error(transparent)]
    Quote(QuoteError),
    /// Filling failed otherwise.
    #[error("{0}")]
    Fill(String),
}

/// A template that was checked, to be filled as often as there are fleets: parsing costs a hundred
/// times what filling does.
pub struct Checked(Handlebars<'static>);

impl Checked {
    /// Checks a template.
    ///
    /// # Errors
    /// The first problem of it.
    pub fn new(source: &str, author: Author) -> Result<Self, TemplateError> {
        let template = Template::compile(source).map_err(|error| TemplateError {
            line: error.pos().map_or(1, |(line, _)| line),
            problem: Problem::Syntax(error.reason().to_string()),
        })?;
        check(&template, author)?;
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.register_escape_fn(no_escape);
        for (name, quote) in quote::HELPERS {
            registry.register_helper(name, Box::new(QuoteHelper { name, quote }));
        }
        registry.register_helper(
            UNQUOTED,
            Box::new(QuoteHelper {
                name: UNQUOTED,
                quote: quote::unquoted,
            }),
        );
        registry.register_helper("if", Box::new(Condition { wanted: true }));
        registry.register_helper("unless", Box::new(Condition { wanted: false }));
        registry.register_template(NAME, template);
        Ok(Self(registry))
    }

    /// Fills it.
    ///
    /// # Errors
    /// The first problem of filling it.
    pub fn fill(&self, context: &Value) -> Result<String, TemplateError> {
        self.0.render(NAME, context).map_err(explain)
    }
}

/// A template of meshvm's own, checked when it is first filled.
pub struct Own(LazyLock<Result<Checked, TemplateError>>);

impl Own {
    /// Names the template.
    pub const fn new(make: fn() -> Result<Checked, TemplateError>) -> Self {
        Self(LazyLock::new(make))
    }

    /// Fills it.
    ///
    /// # Errors
    /// The first problem of the template, or of filling it.
    pub fn fill(&self, context: &Value) -> Result<String, TemplateError> {
        match &*self.0 {
            Ok(checked) => checked.fill(context),
            Err(error) => Err(error.clone()),
        }
    }
}

const NAME: &str = "user-data";

fn explain(error: handlebars::RenderError) -> TemplateError {
    let problem = match error.reason() {
        RenderErrorReason::MissingVariable(name) => {
            Problem::Missing(name.clone().unwrap_or_default())
        }
        RenderErrorReason::NestedError(inner) => match inner.downcast_ref() {
            Some(quote) => Problem::Quote(*quote),
            None => Problem::Fill(inner.to_string()),
        },
        other => Problem::Fill(other.to_string()),
    };
    TemplateError {
        line: error.line_no.unwrap_or(1),
        problem,
    }
}

/// Returns whether every value of a template goes through a helper.
fn check(template: &Template, author: Author) -> Result<(), TemplateError> {
    for (index, element) in template.elements.iter().enumerate() {
        let problem = match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => continue,
            TemplateElement::Expression(expression) => check_expression(expression, author),
            TemplateElement::HelperBlock(block) => {
                let name = block.name.as_name().unwrap_or_default();
                for inner in block.template.iter().chain(&block.inverse) {
                    check(inner, author)?;
                }
                match BLOCKS.contains(&name) {
                    true => continue,
                    false => Err(Problem::Unsupported(format!("the block `{name}`"))),
                }
            }
            TemplateElement::HtmlExpression(expression) => Err(Problem::Unquoted(
                expression.name.as_name().unwrap_or_default().to_owned(),
            )),
            TemplateElement::PartialExpression(_) | TemplateElement::PartialBlock(_) => {
                Err(Problem::Unsupported("a partial".to_owned()))
            }
            TemplateElement::DecoratorExpression(_) | TemplateElement::DecoratorBlock(_) => {
                Err(Problem::Unsupported("a decorator".to_owned()))
            }
            // The enum is open; what is not known cannot be called safe.
            _ => Err(Problem::Unsupported("this expression".to_owned())),
        };
        problem.map_err(|problem| TemplateError {
            line: template.mapping.get(index).map_or(1, |place| place.0),
            problem,
        })?;
    }
    Ok(())
}

fn check_expression(expression: &HelperTemplate, author: Author) -> Result<(), Problem> {
    let Some(name) = expression.name.as_name() else {
        return Err(Problem::Unsupported("a computed name".to_owned()));
    };
    let is_helper = quote::HELPERS.iter().any(|(helper, _)| *helper == name)
        || (name == UNQUOTED && author == Author::User);
    if !is_helper {
        return Err(match expression.params.is_empty() {
            true => Problem::Unquoted(name.to_owned()),
            false => Problem::Unsupported(format!("the helper `{name}`")),
        });
    }
    match (expression.params.len(), expression.hash.is_empty()) {
        (1, true) => Ok(()),
        _ => Err(Problem::Unsupported(format!(
            "`{name}` with anything but one value"
        ))),
    }
}

/// `if` and `unless` that refuse a value that does not exist, as strict mode does everywhere else.
struct Condition {
    wanted: bool,
}

impl HelperDef for Condition {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let param = helper
            .param(0)
            .ok_or(RenderErrorReason::ParamNotFoundForIndex("if", 0))?;
        if param.is_value_missing() {
            let path = param.relative_path().cloned();
            return Err(RenderErrorReason::MissingVariable(path).into());
        }
        let branch = match param.value().is_truthy(false) == self.wanted {
            true => helper.template(),
            false => helper.inverse(),
        };
        match branch {
            Some(branch) => branch.render(registry, context, render, out),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(source: &str, author: Author, context: &Value) -> Result<String, TemplateError> {
        Checked::new(source, author)?.fill(context)
    }

    fn user(source: &str) -> Result<String, String> {
        let context = json!({"a": "x\ny", "none": null, "list": ["1", "2"]});
        filled(source, Author::User, &context).map_err(|error| error.to_string())
    }

    #[test]
    fn values_land_quoted() {
        let text = user("{{#each list}}{{sh this}};{{/each}} {{yaml a}} {{base64 a}}").unwrap();
        assert_eq!(text, r#"'1';'2'; "x\ny" eAp5"#);
        assert_eq!(user("{{#if none}}1{{else if a}}2{{/if}}").unwrap(), "2");
        assert_eq!(user("{{unquoted a}}").unwrap(), "x\ny");
    }

    #[test]
    fn a_value_without_a_helper_is_refused_with_its_line() {
        for raw in [
            "{{a}}",
            "{{{a}}}",
            "{{&a}}",
            "{{~a~}}",
            "{{this.a}}",
            "{{./a}}",
            "{{@root.a}}",
        ] {
            let error = user(&format!("x\n{raw}")).unwrap_err();
            assert!(
                error.contains("line 2") && error.contains("without quoting"),
                "{raw}: {error}"
            );
        }
        let nested = user("{{#if a}}\n{{#each list}}\n{{this}}\n{{/each}}{{/if}}").unwrap_err();
        assert!(nested.starts_with("line 3 "), "{nested}");
        let in_else = user("{{#if a}}{{else if a}}{{else}}{{a}}{{/if}}").unwrap_err();
        assert!(in_else.contains("without quoting"), "{in_else}");
    }

    #[test]
    fn what_could_smuggle_a_value_in_is_refused() {
        for source in [
            "{{lookup this 'a'}}",
            "{{(lookup this 'a')}}",
            "{{#a}}x{{/a}}",
            "{{#eq a a}}x{{/eq}}",
            "{{> part}}",
            "{{#> part}}{{/part}}",
            "{{#*inline \"p\"}}{{a}}{{/inline}}",
            "{{sh a a}}",
            "{{sh a k=a}}",
            "{{sh}}",
            "{{log a}}",
        ] {
            assert!(user(source).is_err(), "{source}");
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for source in [
            "{{sh nope}}",
            "{{#if nope}}{{/if}}",
            "{{#each nope}}{{/each}}",
            "{{#unless nope}}{{/unless}}",
        ] {
            let error = user(source).unwrap_err();
            assert!(
                error.contains("there is no value `nope`"),
                "{source}: {error}"
            );
        }
        assert_eq!(
            user("{{sh none}}").unwrap_err(),
            "line 1 of the template: the value is null, not text"
        );
    }

    #[test]
    fn meshvm_itself_never_inserts_unquoted() {
        let error = filled("{{unquoted a}}", Author::Meshvm, &json!({"a": 1})).unwrap_err();
        assert_eq!(
            error.problem,
            Problem::Unsupported("the helper `unquoted`".to_owned())
        );
    }
}
