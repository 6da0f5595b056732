//! Bodies in protobuf, which the typed clients of kubectl send since 1.34. Pure.
//!
//! They are turned into JSON at the door, so that nothing behind it knows of them. Answers are
//! JSON, which such clients take as well
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>).

mod messages;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prost::encoding::{WireType, decode_key, decode_varint};
use serde_json::{Map, Value, json};
use thiserror::Error;

use self::messages::{Field, Form, Message, message};

/// The type of such a body.
pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What such a body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body cannot be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is cut short, or no protobuf.
    #[error("the protobuf of the body cannot be read: {0}")]
    Malformed(&'static str),
    /// It is of a kind that is read in JSON alone.
    #[error("objects of kind {0} are read in JSON alone")]
    Kind(String),
    /// It has a field that is read in JSON alone.
    #[error("field {number} of {message} is read in JSON alone")]
    Field {
        /// The message.
        message: &'static str,
        /// The field's number.
        number: u32,
    },
}

/// Turns a body into JSON.
///
/// # Errors
///
/// When it is no protobuf, or of a kind or with a field that is not known here.
pub fn to_json(body: &[u8]) -> Result<Value, Unreadable> {
    let envelope = body.strip_prefix(MAGIC);
    let envelope = envelope.ok_or(Unreadable::Malformed("it begins otherwise"))?;
    let envelope = object(&messages::UNKNOWN, envelope)?;
    let kind = envelope["typeMeta"]["kind"].as_str().unwrap_or_default();
    let known = message(kind).ok_or_else(|| Unreadable::Kind(kind.to_owned()))?;
    let raw = STANDARD.decode(envelope["raw"].as_str().unwrap_or_default());
    let raw = raw.map_err(|_| Unreadable::Malformed("it has no object"))?;
    let mut found = object(known, &raw)?;
    found["kind"] = json!(kind);
    found["apiVersion"] = envelope["typeMeta"]["apiVersion"].clone();
    Ok(found)
}

/// One value on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn next<'a>(bytes: &mut &'a [u8]) -> Result<(u32, Wire<'a>), Unreadable> {
    let bad = |_| Unreadable::Malformed("a number is cut short");
    let (number, wire) = decode_key(bytes).map_err(bad)?;
    let value = match wire {
        WireType::Varint => Wire::Number(decode_varint(bytes).map_err(bad)?),
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(bytes).map_err(bad)?);
            let split = length
                .ok()
                .and_then(|length| bytes.split_at_checked(length));
            let (value, rest) = split.ok_or(Unreadable::Malformed("a value is cut short"))?;
            *bytes = rest;
            Wire::Bytes(value)
        }
        WireType::ThirtyTwoBit
        | WireType::SixtyFourBit
        | WireType::StartGroup
        | WireType::EndGroup => {
            return Err(Unreadable::Malformed(
                "a value is of a type that no kind has",
            ));
        }
    };
    Ok((number, value))
}

fn object(message: &'static Message, mut bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut fields = Map::new();
    while !bytes.is_empty() {
        let (number, wire) = next(&mut bytes)?;
        let known = message.fields.iter().find(|field| field.number == number);
        let Field {
            name,
            form,
            repeated,
            ..
        } = known.ok_or(Unreadable::Field {
            message: message.name,
            number,
        })?;
        match (form, wire) {
            (Form::Texts | Form::Blobs, Wire::Bytes(entry)) => {
                let (key, value) = self::entry(form, entry)?;
                let map = fields.entry(*name).or_insert_with(|| json!({}));
                map[key] = value;
            }
            (form, wire) => {
                let value = value(form, wire)?;
                if *repeated {
                    let list = fields.entry(*name).or_insert_with(|| json!([]));
                    list.as_array_mut()
                        .into_iter()
                        .for_each(|l| l.push(value.clone()));
                } else if !is_unset(form, &value) {
                    fields.insert((*name).to_owned(), value);
                }
            }
        }
    }
    Ok(Value::Object(fields))
}

/// What is not set is written all the same where its type in Go is no pointer.
fn is_unset(form: &Form, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Object(fields) => fields.is_empty() && matches!(form, Form::Of(_)),
        Value::Bool(_) | Value::Array(_) => false,
    }
}

fn value(form: &Form, wire: Wire<'_>) -> Result<Value, Unreadable> {
    Ok(match (form, wire) {
        (Form::Text, Wire::Bytes(bytes)) => json!(text(bytes)?),
        (Form::Blob, Wire::Bytes(bytes)) => json!(STANDARD.encode(bytes)),
        // Negative numbers are written as the 64 bits they are.
        (Form::Number, Wire::Number(number)) => json!(number as i64),
        (Form::Truth, Wire::Number(number)) => json!(number != 0),
        (Form::Of(message), Wire::Bytes(bytes)) => object(message, bytes)?,
        (Form::Time, Wire::Bytes(bytes)) => {
            let parts = object(&messages::TIME, bytes)?;
            match (parts["seconds"].as_i64(), parts["nanos"].as_i64()) {
                (None, _) => Value::Null,
                (Some(seconds), nanos) => {
                    let nanos = i32::try_from(nanos.unwrap_or(0)).unwrap_or(0);
                    let time = Timestamp::new(seconds, nanos);
                    json!(time.unwrap_or(Timestamp::MAX).to_string())
                }
            }
        }
        (Form::NumberOrText, Wire::Bytes(bytes)) => {
            let parts = object(&messages::INT_OR_STRING, bytes)?;
            match parts["type"].as_i64() {
                Some(1) => json!(parts["strVal"].as_str().unwrap_or_default()),
                _ => json!(parts["intVal"].as_i64().unwrap_or_default()),
            }
        }
        _ => return Err(Unreadable::Malformed("a value is of another type")),
    })
}

fn entry(form: &Form, mut bytes: &[u8]) -> Result<(String, Value), Unreadable> {
    let (mut key, mut content) = (String::new(), &[][..]);
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            (1, Wire::Bytes(bytes)) => key = text(bytes)?.to_owned(),
            (2, Wire::Bytes(bytes)) => content = bytes,
            _ => return Err(Unreadable::Malformed("an entry of a map is none")),
        }
    }
    let content = match form {
        Form::Blobs => json!(STANDARD.encode(content)),
        _ => json!(text(content)?),
    };
    Ok((key, content))
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| Unreadable::Malformed("a text is none"))
}
