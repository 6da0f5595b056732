//! What Istio and Kubernetes would refuse at an apply, refused at its field.

use super::{assert_fleet_problems, assert_membership_problems, assert_problems};

const HOST_HINT: &str = "write a name as db.example.com, or *.example.com for all below it";
const ADDRESS_HINT: &str = "write an address as 10.0.0.1, or a range as 10.0.0.0/24";

/// Asserts what is told of an external fleet and of a member's ServiceEntry alike; `text` is what
/// they have in common, and each problem begins with its column, its line being the only one.
#[track_caller]
fn assert_entry_problems(text: &str, expected: &[(usize, &str)]) {
    let told = |start: usize| -> Vec<String> {
        let told = expected.iter();
        told.map(|(column, told)| format!("f:12:{} {told}", start + column))
            .collect()
    };
    let start = "      serviceEntry: {".len();
    let member = told(start);
    let member: Vec<&str> = member.iter().map(String::as_str).collect();
    assert_membership_problems(
        &format!(
            "labels: {{app: web}}\nports: {{a: 80, b: 81, c: 82, d: 443}}\nserviceEntry: {{{text}}}"
        ),
        &member,
    );
    let start = "    external: {namespace: vm, ".len();
    let external = told(start);
    let external: Vec<&str> = external.iter().map(String::as_str).collect();
    assert_problems(
        &format!(
            "mesh: {{manifests: {{path: m}}}}\n\n\n\n\n\nfleets:\n  web:\n    sim: {{image: x}}\n    \
             external: {{namespace: vm, {text}}}\n"
        ),
        &external,
    );
}

#[test]
fn hosts() {
    let ports = "ports: [{name: http, port: 80, protocol: http}]";
    let host = |host: &str, shown: &str, told: &str| {
        assert_entry_problems(
            &format!("hosts: [{host}], {ports}"),
            &[(9, &format!("[{shown}] {told}"))],
        );
    };
    for (text, shown) in [
        ("a b", "a b"),
        ("''", ""),
        ("a..b", "a..b"),
        ("-a.example.com", "-a.example.com"),
        ("a.*.com", "a.*.com"),
        ("a_b.com", "a_b.com"),
        ("'http://a.com'", "http://a.com"),
        ("'a.com:80'", "a.com:80"),
        ("a.123", "a.123"),
    ] {
        let place = if text.starts_with('\'') { text } else { shown };
        host(
            text,
            place,
            &format!("`{shown}` cannot be a host -> {HOST_HINT}"),
        );
    }
    let long = format!("{}.com", "a".repeat(64));
    host(
        &long,
        &long,
        &format!("`{long}` cannot be a host -> {HOST_HINT}"),
    );
    let every = format!("`*` would be every host there is -> {HOST_HINT}");
    host("'*'", "'*'", &every);
    host(
        "10.0.0.1",
        "10.0.0.1",
        "the host `10.0.0.1` is an address -> write a name here, and it under `addresses`",
    );
    for fine in [
        "db",
        "db.example.com",
        "'*.example.com'",
        "DB.Example.com.",
        "xn--bcher-kva.example",
        "1.example",
    ] {
        assert_entry_problems(&format!("hosts: [{fine}], {ports}"), &[]);
    }
}

#[test]
fn addresses() {
    let wrong = [
        "db",
        "10.0.0",
        "10.0.0.1/33",
        "10.0.0.1/08",
        "10.0.0.1/+8",
        "10.0.0.1/8/8",
    ];
    for address in wrong {
        assert_entry_problems(
            &format!("addresses: [{address}], hosts: [a], ports: [{{name: tcp, port: 80}}]"),
            &[(
                13,
                &format!("[{address}] `{address}` is no address -> {ADDRESS_HINT}"),
            )],
        );
    }
    let fine = "10.0.0.1, 10.0.0.0/8, 0.0.0.0/0, '2001:db8::1', '2001:db8::/128'";
    assert_entry_problems(
        &format!("addresses: [{fine}], hosts: [a], ports: [{{name: tcp, port: 80}}]"),
        &[],
    );
}

#[test]
fn ports_of_entries() {
    let known = "known are `HTTP`, `HTTPS`, `HTTP2`, `HTTP_PROXY`, `GRPC`, `GRPC-WEB`, `MONGO`, \
                 `MYSQL`, `REDIS`, `TCP`, `TLS`, `UDP`";
    assert_entry_problems(
        "hosts: [a], ports: [{name: a, port: 80, protocol: HTPP}, {name: a, port: 80}, {name: b, \
         port: 81, protocol: quack}, {name: c, port: 82, protocol: grpc-web}]",
        &[
            (
                51,
                "[HTPP] Istio knows no protocol `HTPP` -> did you mean `HTTP`?",
            ),
            (
                65,
                "[a] there are two ports named `a` -> give each port a name of its own",
            ),
            (74, "[80] there is port 80 twice -> keep one of them"),
            (
                109,
                &format!("[quack] Istio knows no protocol `QUACK` -> {known}"),
            ),
        ],
    );
}

#[test]
fn ports_of_entries_that_are_none_of_the_memberships() {
    let entry = |ports: &str, offered: &str| {
        format!(
            "labels: {{app: web}}\nports: {{{ports}}}\nserviceEntry: {{hosts: [a], ports: \
             [{offered}]}}"
        )
    };
    assert_membership_problems(
        &entry("http: 8080, tcp: 81", "{name: web, port: 80}"),
        &[
            "warning f:12:49 [web] the ServiceEntry's port `web` is none of the membership's by name or \
             number, and leads to port 80 of the machines -> give it the name of one of the \
             membership's; the membership has http: 8080, tcp: 81",
        ],
    );
    for (ports, fine) in [
        ("http: 8080", "{name: http, port: 80}"),
        ("http: 8080", "{name: web, port: 8080}"),
        // Istio leads it to the port of the same number.
        ("", "{name: web, port: 80}"),
    ] {
        assert_membership_problems(&entry(ports, fine), &[]);
    }
}

#[test]
fn hosts_that_share_a_port() {
    let hint = "keep one host, or give the port a `protocol` of HTTP or TLS";
    let told = |port: &str| {
        format!(
            "2 hosts share the port `{port}`, and it does not tell which one a client wants -> \
             {hint}"
        )
    };
    assert_entry_problems(
        "hosts: [a, b], ports: [{name: web, port: 80, protocol: http2}, {name: tls, port: 443, \
         protocol: TLS}, {name: db, port: 81, protocol: mysql}]",
        &[(134, &format!("[mysql] {}", told("db")))],
    );
}

#[test]
fn names_of_services() {
    let service = |name: &str| {
        format!(
            "labels: {{app: web}}\nports: {{http: 80}}\nservice: {{name: {name}, ports: [{{name: \
             http, port: 80}}]}}"
        )
    };
    let long = "s".repeat(64);
    let cut = format!("\"{}\"\u{2026}", &long[4..]);
    for (name, shown) in [
        ("9lives", "\"9lives\""),
        ("Lives", "\"Lives\""),
        ("lives-", "\"lives-\""),
        ("li.ves", "\"li.ves\""),
        (&long, &cut),
    ] {
        let told = format!(
            "f:12:23 [{name}] string {shown} does not match \
             ^[a-z]([-a-z0-9]{{0,61}}[a-z0-9])?$ -> A name: 1 to 63 of a-z, 0-9 and -, starting \
             with a letter and not ending with -."
        );
        assert_membership_problems(&service(name), &[&told]);
    }
    for name in ["l", "lives-9", &long[1..]] {
        assert_membership_problems(&service(name), &[]);
    }
    // Other kinds take a digit there.
    assert_fleet_problems(
        "external: {namespace: 9v, hosts: [a], ports: [{name: 9p, port: 80}]}",
        &[
            "warning f:6:5 [external] the fleet `web` is external, and the file has no mesh -> add \
             `mesh: {manifests: {path: ./mesh}}`; without it nothing is written",
        ],
    );
}

#[test]
fn annotations_of_workloads() {
    let hint = "write a name as app, or a domain and a name as example.com/app";
    assert_membership_problems(
        "annotations:\n  proxy.istio.io/config: ''\n  Example.COM/a: '\u{e4} b'\n  a b: ''\n  /x: ''",
        &[
            &format!("f:13:9 [a b] `a b` cannot be the key of a Kubernetes annotation -> {hint}"),
            &format!("f:14:9 [/x] `/x` cannot be the key of a Kubernetes annotation -> {hint}"),
        ],
    );
    let big = "x".repeat(256 << 10);
    assert_membership_problems(
        &format!("annotations: {{a: {big}}}"),
        &[
            "f:10:7 [annotations] annotations of 262145 bytes are too many -> Kubernetes takes at most \
           262144",
        ],
    );
    let many: String = (0..257).map(|index| format!("  l{index}: x\n")).collect();
    for field in ["labels", "annotations"] {
        assert_membership_problems(
            &format!("{field}:\n{many}"),
            &[&format!(
                "f:10:7 [{field}] 257 {field} are too many -> Istio takes at most 256"
            )],
        );
    }
}

#[test]
fn networks() {
    let hint = "write 1 to 63 letters, digits, -, _ and ., beginning and ending with a letter or \
                digit; a label carries it";
    let long = "n".repeat(64);
    for network in ["a b", "-a", "a/b", &long] {
        let told = format!("`{network}` cannot be the name of a network -> {hint}");
        assert_membership_problems(
            &format!("network: {network}"),
            &[&format!("f:10:16 [{network}] {told}")],
        );
        assert_problems(
            &format!("mesh: {{kubernetes: {{network: {network}}}}}\n"),
            &[&format!("f:3:30 [{network}] {told}")],
        );
    }
    assert_membership_problems("network: Vm_net.1", &[]);
}

#[test]
fn target_ports() {
    let hint = "rename it in the membership's `ports`, to 1 to 15 of a-z, 0-9 and single -, with a \
                letter";
    assert_membership_problems(
        "labels: {app: web}\nports: {http-productpage: 80, HTTP: 81, a--b: 82, '83': 83, \
         http-and-15-off: 84}\nservice:\n  ports:\n    - {name: http-productpage, port: 80}\n    - \
         {name: a, port: 81, targetPort: HTTP}\n    - {name: b, port: 82, targetPort: a--b}\n    - \
         {name: c, port: 83, targetPort: '83'}\n    - {name: d, port: 84, targetPort: \
         http-and-15-off}\n",
        &[
            &format!(
                "f:14:20 [http-productpage] Kubernetes lets no Service lead to a port named \
                 `http-productpage` -> {hint}"
            ),
            &format!(
                "f:15:45 [HTTP] Kubernetes lets no Service lead to a port named `HTTP` -> {hint}"
            ),
            &format!(
                "f:16:45 [a--b] Kubernetes lets no Service lead to a port named `a--b` -> {hint}"
            ),
            &format!(
                "f:17:45 ['83'] Kubernetes lets no Service lead to a port named `83` -> {hint}"
            ),
        ],
    );
}

/// Asserts what is told of a `traffic` block, which is line 13.
#[track_caller]
fn assert_traffic_problems(text: &str, expected: &[&str]) {
    assert_membership_problems(
        &format!(
            "labels: {{app: web}}\nports: {{http: 80}}\nservice: {{ports: [{{name: http, port: \
             80}}]}}\ntraffic: {{{text}}}"
        ),
        expected,
    );
}

#[test]
fn retries() {
    let has = |field: &str| {
        format!(
            "nothing is tried again, so `{field}` has no effect -> leave it out, or let `attempts` \
             be 1 at least"
        )
    };
    assert_traffic_problems(
        "retries: {attempts: 0, perTryTimeout: 1s, retryOn: 5xx}",
        &[
            &format!("f:13:55 [1s] {}", has("perTryTimeout")),
            &format!("f:13:68 [5xx] {}", has("retryOn")),
        ],
    );
    assert_traffic_problems("retries: {attempts: 0}", &[]);
    assert_traffic_problems(
        "retries: {attempts: 1, retryOn: '5xx,reset,503,retriable-4xx'}",
        &[],
    );
    let unknown =
        |policy: &str| format!("Istio does not know when `{policy}` is: it cannot be in `retryOn`");
    assert_traffic_problems(
        "retries: {attempts: 1, retryOn: '5xx, reset,conect-failure,999'}",
        &[
            &format!(
                "f:13:49 ['5xx, reset,conect-failure,999'] {} -> write no blanks between",
                unknown(" reset")
            ),
            &format!(
                "f:13:49 ['5xx, reset,conect-failure,999'] {} -> known are `5xx`, `gateway-error`, \
                 `reset`, `reset-before-request`, `connect-failure`, `retriable-4xx`, \
                 `refused-stream`, `retriable-status-codes`, `retriable-headers`, \
                 `envoy-ratelimited`, `http3-post-connect-failure`, `cancelled`, \
                 `deadline-exceeded`, `internal`, `resource-exhausted`, `unavailable`, and \
                 statuses of HTTP",
                unknown("999")
            ),
            &format!(
                "f:13:49 ['5xx, reset,conect-failure,999'] {} -> did you mean `connect-failure`?",
                unknown("conect-failure")
            ),
        ],
    );
}

#[test]
fn a_fault_does_something() {
    assert_traffic_problems(
        "fault: {}",
        &["f:13:17 [fault] the fault injects nothing -> add `delay` or `abort`, or leave it out"],
    );
    assert_traffic_problems("fault: {abort: {httpStatus: 500, percentage: 0}}", &[]);
}

#[test]
fn numbers_that_no_crd_takes() {
    assert_fleet_problems(
        "membership: {namespace: a, serviceAccount: a, probe: {exec: {command: ['']}, \
         periodSeconds: 2147483648}}",
        &[
            "f:6:76 [''] expected at least 1 character, found string \"\"",
            "f:6:97 [2147483648] expected at most 2147483647, found integer 2147483648 -> \
             Seconds between checks.",
        ],
    );
}

#[test]
fn names_of_clusters_and_trust_domains() {
    let mesh = |text: &str, expected: &[&str]| {
        assert_problems(&format!("mesh: {{kubernetes: {{{text}}}}}\n"), expected);
    };
    let cluster = "write what istiod has as CLUSTER_ID, as `Kubernetes`, or leave it out to read it \
                   from the cluster";
    for id in ["''", "' '", "'a b'", "'a\tb'"] {
        let plain = id.trim_matches('\'');
        let told = format!("`{plain}` cannot be the name of a cluster -> {cluster}");
        mesh(
            &format!("clusterId: {id}"),
            &[&format!("f:3:32 [{id}] {told}")],
        );
    }
    mesh("clusterId: gke_project_europe-west1_prod/1", &[]);
    let domain = "write 1 to 255 of a-z, 0-9, ., - and _, as `cluster.local`, or leave it out to \
                  read it from the cluster";
    for name in ["''", "'a b'", "Cluster.local", "'spiffe://a'", "a/b"] {
        let plain = name.trim_matches('\'');
        let told = format!("`{plain}` cannot be a trust domain -> {domain}");
        mesh(
            &format!("trustDomain: {name}"),
            &[&format!("f:3:34 [{name}] {told}")],
        );
    }
    mesh("trustDomain: my_mesh-1.example", &[]);
}

#[test]
fn where_the_gateway_is() {
    let gateway = |text: &str, expected: &[&str]| {
        let text = format!("mesh: {{kubernetes: {{eastWest: {{{text}}}}}}}\n");
        assert_problems(&text, expected);
    };
    let either = "is neither an address nor the name of a host";
    let any = "write an address as 203.0.113.7, or a name as mesh.example.com";
    for (address, hint) in [
        (
            "'https://gw.example.com'",
            "write gw.example.com; machines call it at port 15012",
        ),
        (
            "'https://gw.example.com:443/x'",
            "write gw.example.com; machines call it at port 15012",
        ),
        (
            "'10.0.0.1:15012'",
            "write 10.0.0.1; machines call it at port 15012",
        ),
        (
            "'[2001:db8::1]:15012'",
            "write 2001:db8::1; machines call it at port 15012",
        ),
        (
            "'gw.example.com '",
            "write gw.example.com; machines call it at port 15012",
        ),
        ("''", any),
        ("'a b'", any),
        ("10.0.0", any),
        ("10.0.0.0/24", any),
    ] {
        let plain = address.trim_matches('\'');
        gateway(
            &format!("address: {address}"),
            &[&format!("f:3:41 [{address}] `{plain}` {either} -> {hint}")],
        );
    }
    for address in ["10.0.0.1", "'2001:db8::1'", "gw", "gw.example.com."] {
        gateway(&format!("address: {address}"), &[]);
    }
    for service in ["''", "'a b'", "a.b.c", "a.", "a/b", "Gateway"] {
        let plain = service.trim_matches('\'');
        gateway(
            &format!("service: {service}"),
            &[&format!(
                "f:3:41 [{service}] `{plain}` does not name a Service -> write NAME, or \
                 NAME.NAMESPACE, as `istio-eastwestgateway.istio-system`"
            )],
        );
    }
    gateway("service: gw", &[]);
    gateway("service: gw.istio-ingress", &[]);
    let both = "keep one of them: the machines' DNS knows the control plane, or they are told where \
                the gateway is";
    gateway(
        "privateDns: true, address: 10.0.0.1, service: gw",
        &[
            &format!(
                "f:3:50 [address] with `privateDns`, nobody asks for the gateway's `address` -> {both}"
            ),
            &format!(
                "f:3:69 [service] with `privateDns`, nobody asks for the gateway's `service` -> {both}"
            ),
        ],
    );
    gateway(
        "address: 10.0.0.1, service: gw",
        &[
            "f:3:51 [service] the gateway has an `address`, so nobody looks for its `service` -> keep \
           one of them",
        ],
    );
    gateway("privateDns: false, service: gw", &[]);
}
