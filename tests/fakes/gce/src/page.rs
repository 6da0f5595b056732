//! Pages of listings, by tokens that say nothing to clients.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::filter::Filter;
use crate::refusal::Refusal;

/// The pages that clients may go on with: what was listed, and from where on.
#[derive(Default)]
pub struct Pages(HashMap<String, (String, usize)>);

/// What a listing asks for.
pub struct Wanted<'a> {
    /// What is listed; a token is good for the same again only.
    pub what: String,
    pub query: &'a BTreeMap<String, String>,
    /// The most of a page, whatever is asked for.
    pub most: usize,
}

impl Pages {
    /// Returns a page, and the token of the next.
    ///
    /// # Errors
    /// When filter or token are wrong.
    pub fn cut(
        &mut self,
        wanted: &Wanted<'_>,
        all: impl IntoIterator<Item = Value>,
    ) -> Result<(Vec<Value>, Option<String>), Refusal> {
        let text = |name: &str| {
            wanted
                .query
                .get(name)
                .map(String::as_str)
                .unwrap_or_default()
        };
        let filter = Filter::read(text("filter"))?;
        let what = format!("{} {} {}", wanted.what, text("filter"), text("orderBy"));
        let from = match text("pageToken") {
            "" => 0,
            token => match self.0.get(token) {
                Some((of, from)) if *of == what => *from,
                _ => {
                    let message = "Invalid value for field 'pageToken': it is not of this listing";
                    return Err(Refusal::invalid(message));
                }
            },
        };
        let asked = text("maxResults").parse().unwrap_or(500);
        let most = wanted.most.min(asked).max(1);
        let mut left = all.into_iter().filter(|it| filter.fits(it)).skip(from);
        let page: Vec<Value> = left.by_ref().take(most).collect();
        let next = left.next().map(|_| {
            let token = uuid::Uuid::new_v4().simple().to_string();
            self.0.insert(token.clone(), (what, from + page.len()));
            token
        });
        Ok((page, next))
    }
}
