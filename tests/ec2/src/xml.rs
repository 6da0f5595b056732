//! The little of EC2's XML that the proxy reads and writes.

use bytes::Bytes;

/// Returns the text of each element of a name.
pub fn texts<'a>(body: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    body.split(&open)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(&close)?.0))
        .collect()
}

/// Returns an error as EC2 writes it.
pub fn error(code: &str, message: &str) -> Bytes {
    Bytes::from(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
         <Message>{message}</Message></Error></Errors><RequestID>meshvm</RequestID></Response>"
    ))
}

/// Returns an error as SSM and other services with JSON write it.
pub fn json_error(code: &str, message: &str) -> Bytes {
    Bytes::from(format!(
        "{{\"__type\":\"{code}\",\"message\":\"{message}\"}}"
    ))
}

const SET: &str = "<instancesSet>";

/// Returns the text of each instance of a listing.
///
/// # Panics
/// When the listing is no well-formed XML.
pub fn instances(body: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.find(SET) {
        let set = &rest[at..];
        let end = matching(set, "instancesSet");
        found.extend(items(&set[SET.len()..end]));
        rest = &set[end..];
    }
    found
}

/// Takes instances out of a listing.
///
/// # Panics
/// When the listing is no well-formed XML.
pub fn without(body: &str, is_hidden: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some(at) = rest.find(SET) {
        let (before, set) = rest.split_at(at);
        let end = matching(set, "instancesSet");
        out.push_str(before);
        out.push_str(SET);
        for item in items(&set[SET.len()..end]) {
            let id = texts(item, "instanceId");
            if !id.first().is_some_and(|id| is_hidden(id)) {
                out.push_str(item);
            }
        }
        rest = &set[end..];
    }
    out.push_str(rest);
    out
}

/// Returns the items that a list is made of.
fn items(mut list: &str) -> Vec<&str> {
    let mut found = Vec::new();
    list = list.trim_start();
    while list.starts_with("<item>") {
        let end = matching(list, "item") + "</item>".len();
        found.push(&list[..end]);
        list = list[end..].trim_start();
    }
    found
}

/// Returns where the element that the text begins with is closed.
fn matching(text: &str, name: &str) -> usize {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut depth = 0;
    let mut at = 0;
    loop {
        let next_open = text[at..].find(&open);
        let next_close = text[at..].find(&close).expect("each element is closed");
        match next_open {
            Some(next) if next < next_close => {
                depth += 1;
                at += next + open.len();
            }
            Some(_) | None => {
                depth -= 1;
                at += next_close;
                if depth == 0 {
                    return at;
                }
                at += close.len();
            }
        }
    }
}

/// Returns a listing of machines whose checks fail.
pub fn impaired<'a>(ids: impl Iterator<Item = &'a String>) -> Bytes {
    let status = "<status>impaired</status>";
    let items: String = ids
        .map(|id| {
            format!(
                "<item><instanceId>{id}</instanceId><systemStatus>{status}</systemStatus>\
                 <instanceStatus>{status}</instanceStatus></item>"
            )
        })
        .collect();
    Bytes::from(format!(
        "<DescribeInstanceStatusResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>meshvm</requestId><instanceStatusSet>{items}</instanceStatusSet>\
         </DescribeInstanceStatusResponse>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_instances_leave_and_others_stay() {
        let item = |id: &str| {
            format!(
                "<item><instanceId>{id}</instanceId><tagSet><item><key>k</key></item></tagSet></item>"
            )
        };
        let set = |items: &str| format!("<item><instancesSet>{items}</instancesSet></item>");
        let body = format!(
            "<r>{}{}</r>",
            set(&(item("i-1") + &item("i-2"))),
            set(&item("i-3"))
        );
        let expected = format!("<r>{}{}</r>", set(&item("i-1")), set(""));
        assert_eq!(without(&body, |id| id != "i-1"), expected);
        assert_eq!(without(&body, |_| false), body);
    }
}
