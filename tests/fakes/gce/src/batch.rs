//! Several calls in one request, as Google's clients for Python and its command line send them
//! (<https://cloud.google.com/compute/docs/api/how-tos/batch>): parts of `multipart/mixed`, each
//! of which holds a request as HTTP/1.1 writes it.

use serde_json::Value;

/// Where batches are sent.
pub const PATH: &str = "/batch/compute/v1";
/// What is between the parts of an answer.
const BOUNDARY: &str = "batch_of_the_double";

/// One call of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    id: String,
    pub verb: String,
    /// Its path, with the query.
    pub target: String,
    pub body: String,
}

/// Takes a batch apart; `None` when it is none.
pub fn parts(kind: &str, body: &str) -> Option<Vec<Part>> {
    let (_, boundary) = kind.split_once("boundary=")?;
    let boundary = boundary.split(';').next()?.trim().trim_matches('"');
    // Clients differ in how they end lines.
    let body = body.replace("\r\n", "\n");
    let marker = format!("--{boundary}");
    let mut pieces = body.split(marker.as_str()).skip(1);
    let mut parts = Vec::new();
    loop {
        match pieces.next()? {
            end if end.starts_with("--") => return Some(parts),
            piece => parts.push(part(piece)?),
        }
    }
}

fn part(piece: &str) -> Option<Part> {
    let (headers, request) = piece.trim_start().split_once("\n\n")?;
    let id = header(headers, "content-id").unwrap_or_default();
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let mut first = head.lines().next()?.split_whitespace();
    Some(Part {
        id: id.trim_matches(|c| matches!(c, '<' | '>')).to_owned(),
        verb: first.next()?.to_owned(),
        target: first.next()?.to_owned(),
        body: body.trim().to_owned(),
    })
}

fn header<'a>(headers: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = headers.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map(|(_, value)| value.trim())
}

/// Returns the type and the body of an answer to a batch.
pub fn answer(parts: &[Part], answers: &[(u16, Value)]) -> (String, String) {
    let mut text = String::new();
    for (Part { id, .. }, (status, body)) in parts.iter().zip(answers) {
        let reason = hyper::StatusCode::from_u16(*status).ok();
        let reason = reason
            .and_then(|it| it.canonical_reason())
            .unwrap_or_default();
        text += &format!(
            "--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: <response-{id}>\r\n\r\n\
             HTTP/1.1 {status} {reason}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n\
             {body}\r\n"
        );
    }
    text += &format!("--{BOUNDARY}--\r\n");
    (format!("multipart/mixed; boundary={BOUNDARY}"), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_taken_apart() {
        let body = "--=x=\nContent-ID: <7+0>\n\nGET /compute/v1/a?b=c HTTP/1.1\nHost: d\n\n\n\
                    --=x=\r\nContent-ID: <7+1>\r\n\r\nPOST /e HTTP/1.1\r\n\r\n{}\r\n--=x=--\n";
        let one = |id: &str, verb: &str, target: &str, body: &str| Part {
            id: id.to_owned(),
            verb: verb.to_owned(),
            target: target.to_owned(),
            body: body.to_owned(),
        };
        let expected = vec![
            one("7+0", "GET", "/compute/v1/a?b=c", ""),
            one("7+1", "POST", "/e", "{}"),
        ];
        let kind = "multipart/mixed; boundary=\"=x=\"";
        assert_eq!(parts(kind, body), Some(expected));
        assert_eq!(parts(kind, &body[..30]), None);
        assert_eq!(parts("application/json", body), None);
    }
}
