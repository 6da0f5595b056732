//! Objects as rows, which is how kubectl asks for them when it prints
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables>).
//! Pure.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kube::kinds::{Column, Kind};

/// Makes a table of an object or a list of objects.
pub fn table(kind: &Kind, version: &str, answer: &Value, now: Timestamp) -> Value {
    let columns = columns(kind, version);
    let items = match answer["items"].as_array() {
        Some(items) => items.iter().collect(),
        None => vec![answer],
    };
    let rows = items.iter().map(|object| {
        let cells = columns.iter().map(|column| cell(column, object, now));
        json!({
            "cells": cells.collect::<Vec<_>>(),
            "object": {
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            },
        })
    });
    let definitions = columns.iter().map(|column| {
        let name = column.path == ".metadata.name";
        json!({
            "name": column.name, "type": column.kind, "priority": column.priority,
            "format": if name { "name" } else { "" }, "description": "",
        })
    });
    let mut metadata = json!({"resourceVersion": answer["metadata"]["resourceVersion"]});
    for field in ["continue", "remainingItemCount"] {
        if let Some(value) = answer["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions.collect::<Vec<_>>(),
        "rows": rows.collect::<Vec<_>>(),
    })
}

fn column(name: &str, kind: &str, path: &str) -> Column {
    Column {
        name: name.to_owned(),
        kind: kind.to_owned(),
        path: path.to_owned(),
        priority: 0,
    }
}

fn columns(kind: &Kind, version: &str) -> Vec<Column> {
    let mut columns = vec![column("Name", "string", ".metadata.name")];
    let own = kind.version(version).map_or(&[][..], |v| &v.columns);
    match (kind.group.as_str(), kind.kind.as_str()) {
        _ if !own.is_empty() => {
            columns.extend_from_slice(own);
            return columns;
        }
        ("", "Namespace") => columns.push(column("Status", "string", ".status.phase")),
        ("", "Service") => {
            columns.push(column("Type", "string", ".spec.type"));
            columns.push(column("Cluster-IP", "string", ".spec.clusterIP"));
        }
        ("", "Secret") => columns.push(column("Type", "string", ".type")),
        ("coordination.k8s.io", "Lease") => {
            columns.push(column("Holder", "string", ".spec.holderIdentity"));
        }
        _ => {}
    }
    columns.push(column("Age", "date", ".metadata.creationTimestamp"));
    columns
}

fn cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let path = column.path.trim_start_matches('.').split('.');
    let found = path.into_iter().try_fold(object, |at, name| at.get(name));
    match (column.kind.as_str(), found) {
        (_, None) => json!("<none>"),
        ("date", Some(time)) => {
            let time = time.as_str().and_then(|text| text.parse().ok());
            json!(time.map_or_else(|| "<unknown>".to_owned(), |time| age(time, now)))
        }
        (_, Some(Value::Array(items))) => json!(Value::Array(items.clone()).to_string()),
        (_, Some(value)) => value.clone(),
    }
}

/// Returns how long ago a time is, as people read it.
fn age(time: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - time.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => format!("{minutes}m{}s", seconds % 60),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => format!("{hours}h{}m", minutes % 60),
        28_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        for (seconds, text) in [
            (5, "5s"),
            (130, "2m10s"),
            (3_600, "60m"),
            (15_000, "4h10m"),
            (90_000, "25h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(at(0), at(seconds)), text);
        }
    }
}
