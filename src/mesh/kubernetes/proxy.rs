//! The proxy that leads to a cluster, found as kubectl finds it.
//!
//! `kube` asks NO_PROXY about the proxy's own host in place of the cluster's, and stops at a part of
//! it that it cannot read. Here it is as in Go (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>):
//! the kubeconfig's `proxy-url` holds for its cluster whatever NO_PROXY says, and what NO_PROXY says
//! that is nothing excludes nobody.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};

use super::login::KubeconfigFault;

/// The proxies of an environment; a URL may hold a password.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For servers that speak TLS: HTTPS_PROXY.
    pub https: Option<SecretString>,
    /// For servers that do not: HTTP_PROXY.
    pub http: Option<SecretString>,
    /// To whom no proxy leads: NO_PROXY.
    pub excluded: String,
}

impl Proxies {
    /// Returns the proxy that leads to a server; `None` when it is reached directly.
    ///
    /// # Errors
    /// [`KubeconfigFault::Proxy`] when it is no URL; nobody looks at that of one who needs none.
    pub(super) fn leading_to(&self, server: &Uri) -> Result<Option<Uri>, KubeconfigFault> {
        let (proxy, port) = match server.scheme_str() {
            Some("http") => (&self.http, 80),
            Some(_) | None => (&self.https, 443),
        };
        let host = server.host().unwrap_or_default();
        let port = server.port_u16().unwrap_or(port);
        match proxy {
            Some(url) if !self.excludes(host, port) => parsed(url.expose_secret()).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    fn excludes(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).to_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let parts = self.excluded.split(',').map(str::trim);
        let mut parts = parts.filter(|part| !part.is_empty());
        is_here || parts.any(|part| names(&part.to_lowercase(), &host, address, port))
    }
}

/// Reads the URL of a proxy; one without a scheme speaks HTTP.
///
/// # Errors
/// [`KubeconfigFault::Proxy`] when it is none.
pub(super) fn parsed(text: &str) -> Result<Uri, KubeconfigFault> {
    let text = match text.split_once("://") {
        // Names are looked up by the proxy with either.
        Some(("socks5h", rest)) => format!("socks5://{rest}"),
        Some(_) => text.to_owned(),
        None => format!("http://{text}"),
    };
    text.parse().map_err(|_| KubeconfigFault::Proxy)
}

/// Returns whether a part of NO_PROXY names a host: `*`, a network, an address, or a domain with all
/// below it (`a.example`) or only these (`.a.example`, `*.a.example`), each but networks with a port
/// or without.
fn names(part: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if part == "*" {
        return true;
    }
    if let Ok(network) = part.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (name, only) = match (part.parse::<IpAddr>(), part.rsplit_once(':')) {
        (Err(_), Some((name, port))) => (name.trim_matches(['[', ']']), Some(port)),
        (Ok(_), _) | (Err(_), None) => (part, None),
    };
    if name.is_empty() || only.is_some_and(|only| only != port.to_string()) {
        return false;
    }
    if let Ok(named) = name.parse::<IpAddr>() {
        return address == Some(named);
    }
    let is_below = |domain: &str| {
        let rest = host.strip_suffix(domain);
        rest.is_some_and(|rest| rest.ends_with('.'))
    };
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(domain) => is_below(domain),
        None => host == name || is_below(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the proxy that leads to a server, where NO_PROXY is `excluded`.
    fn leading_to(server: &str, excluded: &str) -> Option<String> {
        let proxies = Proxies {
            https: Some("https.proxy.example:3128".into()),
            http: Some("http://http.proxy.example".into()),
            excluded: excluded.to_owned(),
        };
        let found = proxies.leading_to(&server.parse().unwrap()).unwrap();
        found.map(|proxy| proxy.to_string())
    }

    #[test]
    fn a_proxy_is_chosen_by_how_the_server_speaks() {
        let https = "http://https.proxy.example:3128/".to_owned();
        assert_eq!(leading_to("https://api.corp.example:6443", ""), Some(https));
        let http = "http://http.proxy.example/".to_owned();
        assert_eq!(leading_to("http://api.corp.example", ""), Some(http));
    }

    #[test]
    fn whoever_is_excluded_is_reached_directly() {
        for (server, excluded) in [
            ("https://localhost:6443", ""),
            ("https://127.0.0.1:6443", ""),
            ("https://[::1]:6443", ""),
            ("https://api.corp.example", "*"),
            ("https://api.corp.example", " a ,, CORP.example,"),
            ("https://API.corp.example", ".corp.example"),
            ("https://api.corp.example", "*.corp.example"),
            ("https://api.corp.example", "api.corp.example:443"),
            ("https://10.1.2.3:6443", "10.0.0.0/8"),
            ("https://10.1.2.3:6443", "/ a b, 10.1.2.3:6443"),
            ("https://[fd00::1]:6443", "fd00::/8"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443"),
            ("https://[fd00::1]:6443", "fd00::1"),
        ] {
            assert_eq!(leading_to(server, excluded), None, "{server} {excluded}");
        }
    }

    #[test]
    fn whoever_is_not_is_led_through_the_proxy() {
        for (server, excluded) in [
            ("https://api.corp.example", "corp.example:6443"),
            (
                "https://api.corp.example",
                "orp.example,https.proxy.example",
            ),
            ("https://corp.example", ".corp.example"),
            ("https://10.1.2.3", "11.0.0.0/8,10.1.2.30,:443"),
        ] {
            assert!(
                leading_to(server, excluded).is_some(),
                "{server} {excluded}"
            );
        }
    }

    #[test]
    fn a_proxy_that_is_none_stops_only_who_needs_it() {
        let proxies = Proxies {
            https: Some("http://a b".into()),
            ..Proxies::default()
        };
        let through = |server: &'static str| proxies.leading_to(&Uri::from_static(server));
        assert!(through("https://api.example").is_err());
        assert!(matches!(through("https://127.0.0.1"), Ok(None)));
        let socks = parsed("socks5h://proxy.example:1080").unwrap();
        assert_eq!(socks.scheme_str(), Some("socks5"));
    }
}
