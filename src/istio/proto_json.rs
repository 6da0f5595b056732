//! The JSON of protocol buffers as Istio writes it, for a `ProxyConfig` and a health check.
//!
//! Istio reads a ConfigMap into messages and writes these out again
//! (<https://protobuf.dev/programming-guides/json/>), so what was written in another way comes out
//! in one: fields by their JSON names, durations in seconds, enumerations by name, and nothing that
//! is a default. What is in fields that are not known here stays as it is. Read back, both mean the
//! same.

use serde_json::{Map, Value, json};

use super::proxy_fields::{Fields, Kind, PROXY_CONFIG};

/// Fields of which at most one is set.
const ONE_OF: [&str; 2] = ["serviceCluster", "tracingServiceName"];

/// Returns the fields of a `ProxyConfig` that are set, by their JSON names.
pub fn fields(config: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (key, value) in config.iter().filter(|(_, value)| !value.is_null()) {
        let name = json_name(key);
        // Written both ways, the JSON name wins.
        if *key == name || !fields.contains_key(&name) {
            fields.insert(name, value.clone());
        }
    }
    fields
}

/// Replaces the fields of a `ProxyConfig` that are set in another.
pub fn overlay(config: &mut Map<String, Value>, other: Map<String, Value>) {
    for pair in [ONE_OF, [ONE_OF[1], ONE_OF[0]]] {
        if other.contains_key(pair[0]) {
            config.remove(pair[1]);
        }
    }
    config.extend(other);
}

/// Returns the fields of a `ProxyConfig` in the form in which Istio writes them.
pub fn proxy_config(fields: Map<String, Value>) -> Map<String, Value> {
    message(PROXY_CONFIG, fields)
}

fn message(known: Fields, fields: Map<String, Value>) -> Map<String, Value> {
    let written = |(name, value): (String, Value)| {
        let value = match kind_of(known, &name) {
            Some(kind) => field(kind, value)?,
            None => value,
        };
        Some((name, value))
    };
    fields.into_iter().filter_map(written).collect()
}

fn kind_of(known: Fields, name: &str) -> Option<Kind> {
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, kind)| *kind)
}

/// Returns the first field of a `ProxyConfig` with a value that Istio does not take, and what it
/// takes there.
pub fn misfit(config: &Map<String, Value>) -> Option<(String, &'static str)> {
    misfit_of(PROXY_CONFIG, &fields(config))
}

fn misfit_of(known: Fields, fields: &Map<String, Value>) -> Option<(String, &'static str)> {
    fields.iter().find_map(|(name, value)| {
        let found = unfit(kind_of(known, name)?, value)?;
        Some(match found {
            (None, takes) => (name.clone(), takes),
            (Some(below), takes) => (format!("{name}.{below}"), takes),
        })
    })
}

/// Returns where in a value something does not fit, and what does.
fn unfit(kind: Kind, value: &Value) -> Option<(Option<String>, &'static str)> {
    let (fits, takes) = match kind {
        Kind::Text => (value.is_string(), "a text"),
        Kind::Number | Kind::Count => {
            let text = value.as_str().map(str::parse::<f64>);
            let fits = value.is_number() || matches!(text, Some(Ok(_)));
            (fits, "a number")
        }
        Kind::Truth | Kind::Flag => (value.is_boolean(), "true or false"),
        Kind::Duration => {
            let fits = value.as_str().and_then(nanoseconds).is_some();
            (fits, "a duration, such as 5s")
        }
        Kind::Name(names) => {
            let fits = names.iter().any(|(number, name)| {
                value.as_str() == Some(*name) || value.as_i64() == Some(*number)
            });
            (fits, "one of its names")
        }
        Kind::Many => (value.is_array(), "a list"),
        Kind::Texts => match value.as_object() {
            Some(texts) => {
                // Istio wants `1` and `true` in quotes; what they mean is clear without.
                let other = texts.iter().find(|(_, it)| it.is_array() || it.is_object());
                return other.map(|(name, _)| (Some(name.clone()), "a text"));
            }
            None => (false, "a map of texts"),
        },
        Kind::Message(known) => match value.as_object() {
            Some(below) => {
                let found = misfit_of(known, &fields(below));
                return found.map(|(path, takes)| (Some(path), takes));
            }
            None => (false, "a map"),
        },
        Kind::Messages(known) => match value.as_object() {
            Some(all) => {
                return all.iter().find_map(|(name, one)| {
                    let (below, takes) = unfit(Kind::Message(known), one)?;
                    let path = below.map_or(name.clone(), |below| format!("{name}.{below}"));
                    Some((Some(path), takes))
                });
            }
            None => (false, "a map"),
        },
    };
    (!fits).then_some((None, takes))
}

/// Returns a health check in the form in which Istio writes it. It has no field for which a default
/// means something else than its absence.
pub fn probe(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let set = fields.iter().filter(|(_, value)| !is_default(value));
            set.map(|(key, value)| (json_name(key), probe(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(probe).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Returns JSON as Go's `encoding/json` writes it, which keeps it safe in a page of HTML.
pub fn go_json(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Returns what is written of a field; `None` when it holds the default.
fn field(kind: Kind, value: Value) -> Option<Value> {
    let value = match (kind, &value) {
        (Kind::Duration, Value::String(text)) => match nanoseconds(text) {
            Some(nanoseconds) => seconds(nanoseconds).into(),
            None => value,
        },
        (Kind::Number | Kind::Count, Value::String(text)) => match text.parse::<i64>() {
            Ok(number) => json!(number),
            Err(_) => value,
        },
        (Kind::Name(names), _) => {
            let number = value.as_i64();
            let found = names
                .iter()
                .find(|(known, name)| number == Some(*known) || value.as_str() == Some(*name));
            match found {
                Some((0, _)) => return None,
                Some((_, name)) => json!(name),
                None => value,
            }
        }
        // That there is one says something by itself.
        (Kind::Message(known), Value::Object(below)) => {
            return Some(message(known, fields(below)).into());
        }
        (Kind::Messages(known), Value::Object(all)) => {
            let each = all.iter().filter_map(|(name, one)| {
                Some((name.clone(), field(Kind::Message(known), one.clone())?))
            });
            each.collect::<Map<_, _>>().into()
        }
        (Kind::Count | Kind::Truth, _) => return (!value.is_null()).then_some(value),
        (
            Kind::Many
            | Kind::Text
            | Kind::Texts
            | Kind::Number
            | Kind::Flag
            | Kind::Duration
            | Kind::Message(_)
            | Kind::Messages(_),
            _,
        ) => value,
    };
    let is_empty_map = value.as_object().is_some_and(Map::is_empty);
    (!is_default(&value) && !is_empty_map).then_some(value)
}

/// Returns whether a field with this value is not written.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) => false,
    }
}

/// Returns the JSON name of a field.
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '_' && next.is_ascii_lowercase() => {
                json.push(next.to_ascii_uppercase());
                chars.next();
            }
            _ => json.push(c),
        }
    }
    json
}

/// Reads a duration in the form of Go's `time.ParseDuration`.
fn nanoseconds(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut rest = unsigned;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(end);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, next) = unit.split_at(end.unwrap_or(unit.len()));
        let unit: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(times(number, unit)?)?;
        rest = next;
    }
    if unsigned.is_empty() {
        return None;
    }
    Some(if text.starts_with('-') { -total } else { total })
}

/// Returns so many of a unit; `None` when the text is no number.
fn times(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(unit)?;
    let mut part = unit;
    for digit in fraction.chars() {
        part /= 10;
        total = total.checked_add(i64::from(digit.to_digit(10)?) * part)?;
    }
    Some(total)
}

/// Writes a duration: whole seconds, or with three, six or nine digits of a fraction.
fn seconds(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let (whole, rest) = (
        nanoseconds.unsigned_abs() / 1_000_000_000,
        nanoseconds.unsigned_abs() % 1_000_000_000,
    );
    let fraction = format!("{rest:09}");
    let fraction = ["000000000", "000000", "000"]
        .into_iter()
        .find_map(|zeros| fraction.strip_suffix(zeros))
        .unwrap_or(&fraction);
    match fraction {
        "" => format!("{sign}{whole}s"),
        _ => format!("{sign}{whole}.{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(config: Value) -> Value {
        let config = config.as_object().cloned().unwrap_or_default();
        proxy_config(fields(&config)).into()
    }

    #[test]
    fn fields_come_out_in_one_form() {
        let config = json!({
            "status_port": "15020", "stat_name_length": 0, "concurrency": 0, "meshId": "",
            "terminationDrainDuration": "1m", "drain_duration": "500ms", "parentShutdownDuration": "0s",
            "interceptionMode": "REDIRECT", "controlPlaneAuthPolicy": 1, "extraStatTags": [],
            "runtimeValues": {}, "tracing": {}, "holdApplicationUntilProxyStarts": false,
            "zipkinAddress": null, "somethingNew": 0, "binary_path": "/a", "binaryPath": "/b",
        });
        let expected = json!({
            "statusPort": 15020, "concurrency": 0, "terminationDrainDuration": "60s",
            "drainDuration": "0.500s", "parentShutdownDuration": "0s",
            "controlPlaneAuthPolicy": "MUTUAL_TLS", "tracing": {},
            "holdApplicationUntilProxyStarts": false, "somethingNew": 0, "binaryPath": "/b",
        });
        assert_eq!(written(config), expected);
        assert_eq!(written(expected.clone()), expected);
    }

    #[test]
    fn one_of_two_is_set() {
        let fields = |value: Value| fields(value.as_object().unwrap());
        let mut config = fields(json!({"serviceCluster": "a", "meshId": "m"}));
        overlay(
            &mut config,
            fields(json!({"tracing_service_name": "CANONICAL_NAME_ONLY"})),
        );
        let expected = json!({"tracingServiceName": "CANONICAL_NAME_ONLY", "meshId": "m"});
        assert_eq!(Value::from(config.clone()), expected);
        overlay(&mut config, fields(json!({"serviceCluster": "b"})));
        assert_eq!(
            Value::from(config),
            json!({"serviceCluster": "b", "meshId": "m"})
        );
    }

    #[test]
    fn what_is_inside_comes_out_in_one_form_too() {
        let config = json!({
            "tracing": {
                "sampling": 0, "max_path_tag_length": 256, "zipkin": {"address": ""},
                "customTags": {"a": {"literal": {"value": "b"}}, "c": {"header": {"default_value": ""}}},
                "enableIstioTags": false,
            },
            "gatewayTopology": {"num_trusted_proxies": "1", "forwardClientCertDetails": 4},
            "privateKeyProvider": {"cryptomb": {"pollDelay": "10ms", "fallback": false}},
            "envoyMetricsService": {"address": "a:1", "tcpKeepalive": {"probes": 0, "time": "1m"}},
        });
        let expected = json!({
            "tracing": {
                "maxPathTagLength": 256, "zipkin": {},
                "customTags": {"a": {"literal": {"value": "b"}}, "c": {"header": {}}},
                "enableIstioTags": false,
            },
            "gatewayTopology": {
                "numTrustedProxies": 1, "forwardClientCertDetails": "SANITIZE_SET",
            },
            "privateKeyProvider": {"cryptomb": {"pollDelay": "0.010s", "fallback": false}},
            "envoyMetricsService": {"address": "a:1", "tcpKeepalive": {"time": "60s"}},
        });
        assert_eq!(written(config), expected);
        assert_eq!(written(expected.clone()), expected);
    }

    #[test]
    fn what_istio_does_not_take_is_found() {
        let found = |config: Value| misfit(config.as_object().unwrap()).map(|(path, _)| path);
        let fine = json!({
            "concurrency": 2, "statusPort": "15020", "drain_duration": "1m30s", "interceptionMode": 1,
            "tracing": {"sampling": 0.5}, "proxyMetadata": {"A": "1"}, "somethingNew": [],
            "holdApplicationUntilProxyStarts": true, "extraStatTags": ["a"], "zipkinAddress": null,
        });
        assert_eq!(found(fine), None);
        for (config, path) in [
            (json!({"statusPort": "http"}), "statusPort"),
            (json!({"concurrency": "many"}), "concurrency"),
            (json!({"drain_duration": "soon"}), "drainDuration"),
            (json!({"interceptionMode": "NAT"}), "interceptionMode"),
            (json!({"proxyMetadata": ["a"]}), "proxyMetadata"),
            (json!({"proxyMetadata": {"A": []}}), "proxyMetadata.A"),
            (json!({"meshId": 7}), "meshId"),
            (
                json!({"tracing": {"zipkin": {"address": 1}}}),
                "tracing.zipkin.address",
            ),
            (
                json!({"tracing": {"customTags": {"a": {"literal": []}}}}),
                "tracing.customTags.a.literal",
            ),
            (json!({"extraStatTags": "a"}), "extraStatTags"),
            (json!({"statsCompression": "no"}), "statsCompression"),
        ] {
            assert_eq!(found(config.clone()).as_deref(), Some(path), "{config}");
        }
    }

    #[test]
    fn what_is_not_understood_stays() {
        let config = json!({"drainDuration": "soon", "statusPort": "http", "interceptionMode": 9});
        assert_eq!(written(config.clone()), config);
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("5s", "5s"),
            ("1h30m", "5400s"),
            ("1.5s", "1.500s"),
            ("-2ms", "-0.002s"),
            ("3us", "0.000003s"),
            ("7ns", "0.000000007s"),
            (".5m", "30s"),
        ] {
            assert_eq!(nanoseconds(text).map(seconds).as_deref(), Some(expected));
        }
        for text in [
            "",
            "-",
            "5",
            "s",
            "5d",
            ".s",
            "1.2.3s",
            "9999999999999h",
            "5 s",
        ] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_probe_has_no_defaults() {
        let check = json!({
            "initialDelaySeconds": 0, "period_seconds": 5,
            "httpGet": {"host": "", "port": 80, "httpHeaders": [{"name": "A", "value": ""}]},
        });
        let expected = json!({
            "periodSeconds": 5, "httpGet": {"port": 80, "httpHeaders": [{"name": "A"}]},
        });
        assert_eq!(probe(&check), expected);
        let command = json!({"exec": {"command": ["sh", "-c", ""]}});
        assert_eq!(probe(&command), command);
    }

    #[test]
    fn json_is_safe_in_html() {
        let value = json!({"a<b": "c>d & \u{2028}"});
        assert_eq!(go_json(&value), r#"{"a\u003cb":"c\u003ed \u0026 \u2028"}"#);
    }
}
