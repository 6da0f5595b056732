//! Lists, of one zone and of all of them: filters, order and pages.

use serde_json::{Map, Value, json};

use crate::cloud::{Asked, Cloud, ROOT};
use crate::instances::last;
use crate::page::Wanted;
use crate::refusal::Refusal;
use crate::things;

impl Cloud {
    /// Returns a page of a list.
    pub fn listed(
        &mut self,
        asked: &Asked<'_>,
        kind: &str,
        all: Vec<Value>,
    ) -> Result<Value, Refusal> {
        let (page, next) = self.cut(asked, all)?;
        // A page of nothing has no items, not an empty list of them.
        let items = (!page.is_empty()).then(|| json!(page));
        Ok(list(asked, kind, items, next))
    }

    /// Returns a page of what is in all zones.
    pub fn by_zone(
        &mut self,
        asked: &Asked<'_>,
        kind: &str,
        name: &str,
        all: Vec<Value>,
    ) -> Result<Value, Refusal> {
        let (page, next) = self.cut(asked, all)?;
        Ok(list(asked, kind, Some(scopes(name, page)), next))
    }

    pub fn list_all_instances(&mut self, asked: &Asked<'_>) -> Result<Value, Refusal> {
        let mut all = self.visible();
        let far = self.manners.unreachable.clone();
        all.retain(|it| !far.contains(last(&it["zone"])));
        let kind = "compute#instanceAggregatedList";
        let mut answer = self.by_zone(asked, kind, "instances", all)?;
        for zone in far {
            let key = format!("zones/{zone}");
            let message = format!("The zone '{zone}' is currently unreachable.");
            answer["items"][&key] = json!({"warning": warning("UNREACHABLE", message, &key)});
        }
        Ok(answer)
    }

    fn cut(
        &mut self,
        asked: &Asked<'_>,
        mut all: Vec<Value>,
    ) -> Result<(Vec<Value>, Option<String>), Refusal> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let order = asked.query.get("orderBy").map(String::as_str);
        match order.unwrap_or_default() {
            "" | "name" => all.sort_by_cached_key(|it| (text(&it["zone"]), text(&it["name"]))),
            "creationTimestamp desc" => {
                all.sort_by_cached_key(|it| match &it["creationTimestamp"] {
                    Value::Null => text(&it["insertTime"]),
                    created => text(created),
                });
                all.reverse();
            }
            other => {
                let message = format!("Invalid value for field 'orderBy': '{other}'.");
                return Err(Refusal::invalid(message));
            }
        }
        let wanted = Wanted {
            what: asked.address().to_owned(),
            query: asked.query,
            most: self.manners.page,
        };
        self.pages.cut(&wanted, all)
    }
}

fn list(asked: &Asked<'_>, kind: &str, items: Option<Value>, next: Option<String>) -> Value {
    let id = asked.address();
    let mut answer = json!({"kind": kind, "selfLink": format!("{ROOT}/{id}"), "id": id});
    if let Some(items) = items {
        answer["items"] = items;
    }
    if let Some(next) = next {
        answer["nextPageToken"] = json!(next);
    }
    answer
}

fn warning(code: &str, message: String, scope: &str) -> Value {
    json!({"code": code, "message": message, "data": [{"key": "scope", "value": scope}]})
}

/// Sorts things by their zones, as aggregated lists have them; a zone without says so.
fn scopes(name: &str, page: Vec<Value>) -> Value {
    let mut items = Map::new();
    for zone in things::zones() {
        let key = format!("zones/{zone}");
        let message = format!("There are no results for scope '{key}' on this page.");
        let warning = warning("NO_RESULTS_ON_PAGE", message, &key);
        items.insert(key, json!({"warning": warning}));
    }
    for thing in page {
        let key = match last(&thing["zone"]) {
            "" => "global".to_owned(),
            zone => format!("zones/{zone}"),
        };
        let scope = items.entry(key).or_insert(Value::Null);
        if scope[name].is_null() {
            *scope = json!({ name: [] });
        }
        if let Some(list) = scope[name].as_array_mut() {
            list.push(thing);
        }
    }
    Value::Object(items)
}
