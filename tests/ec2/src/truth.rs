//! What the server holds, asked of it straight: what tests compare a client's words with.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};

use crate::proxy::{Proxy, exchange};
use crate::xml;

/// A machine as the server holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its state, such as `running`.
    pub state: String,
    /// Its zone.
    pub zone: String,
    /// Its type.
    pub kind: String,
    /// Its address.
    pub address: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Proxy {
    /// Sends a call of the query protocol, by the side door and with any credentials.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn ask(
        &self,
        service: &str,
        region: &str,
        parameters: &[(&str, &str)],
    ) -> io::Result<String> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        let request = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = Bytes::from(body.extend_pairs(parameters).finish());
        self.send(service, region, request, body).await
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// As [`Proxy::ask`].
    pub async fn make_bucket(&self, name: &str) -> io::Result<()> {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("/{name}"));
        let made = self.send("s3", "us-east-1", request, Bytes::new());
        made.await.map(drop)
    }

    async fn send(
        &self,
        service: &str,
        region: &str,
        request: hyper::http::request::Builder,
        body: Bytes,
    ) -> io::Result<String> {
        let credential = format!("key/20260101/{region}/{service}/aws4_request");
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
        let request = request
            .header(HOST, self.side_door_address().to_string())
            .header(AUTHORIZATION, signed)
            .body(Full::new(body))
            .map_err(io::Error::other)?;
        let answer = exchange(self.side_door_address(), request).await?;
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        match status.is_success() {
            true => Ok(text),
            false => Err(io::Error::other(format!("{status}: {text}"))),
        }
    }

    /// Returns the machines of a region that are not gone, nor going.
    ///
    /// # Errors
    /// As [`Proxy::ask`].
    pub async fn instances(&self, region: &str) -> io::Result<Vec<Instance>> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut call = vec![("Action", "DescribeInstances"), ("Version", "2016-11-15")];
            call.extend(next.as_deref().map(|token| ("NextToken", token)));
            let body = self.ask("ec2", region, &call).await?;
            found.extend(xml::instances(&body).into_iter().map(instance));
            next = match xml::texts(&body, "nextToken").first() {
                Some(token) if !token.is_empty() => Some((*token).to_owned()),
                Some(_) | None => break,
            };
        }
        found.retain(|it| it.state != "terminated" && it.state != "shutting-down");
        Ok(found)
    }

    /// Ends a machine, as somebody else would.
    ///
    /// # Errors
    /// As [`Proxy::ask`].
    pub async fn terminate(&self, region: &str, id: &str) -> io::Result<()> {
        let call = [
            ("Action", "TerminateInstances"),
            ("Version", "2016-11-15"),
            ("InstanceId.1", id),
        ];
        self.ask("ec2", region, &call).await.map(drop)
    }
}

fn instance(item: &str) -> Instance {
    let first = |text: &str, name: &str| {
        let found = xml::texts(text, name);
        found
            .first()
            .map(|&text| text.to_owned())
            .unwrap_or_default()
    };
    let tags = first(item, "tagSet");
    let keys = xml::texts(&tags, "key").into_iter().map(str::to_owned);
    let values = xml::texts(&tags, "value").into_iter().map(str::to_owned);
    Instance {
        id: first(item, "instanceId"),
        state: first(&first(item, "instanceState"), "name"),
        zone: first(item, "availabilityZone"),
        kind: first(item, "instanceType"),
        address: first(item, "privateIpAddress"),
        tags: keys.zip(values).collect(),
    }
}
