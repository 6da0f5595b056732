//! What does not fit the schema, each in words and at its place.

use super::{HEAD, assert_fleet_problems, assert_found, assert_problems, inputs};

#[test]
fn unknown_fields() {
    assert_problems(
        "fleet: {}\nfleets:\n  web:\n    sim: {image: x, zone: [a], colour: red}\n    replcas: 3\n    \
         rollout: {max_surge: 1}\n    zzz: 1\n",
        &[
            "f:3:1 [fleet] unknown field `fleet` at the top of the file -> did you mean `fleets`?",
            "f:6:21 [zone] unknown field `zone` in fleets.web.sim -> did you mean `zones`?",
            "f:6:32 [colour] unknown field `colour` in fleets.web.sim -> known are `disk`, \
             `from`, `image`, `memory`, `zones`",
            "f:7:5 [replcas] unknown field `replcas` in fleets.web -> did you mean `replicas`?",
            "f:8:15 [max_surge] unknown field `max_surge` in fleets.web.rollout -> did you mean \
             `maxSurge`?",
            "f:9:5 [zzz] unknown field `zzz` in fleets.web -> known are `bootstrap`, `external`, \
             `labels`, `membership`, `other`, `protect`, `replicas`, `rollout`, `sim`",
        ],
    );
}

#[test]
fn providers_that_this_build_lacks() {
    assert_problems(
        "defaults: {gcp: {project: x}}\nfleets:\n  web:\n    aws: {zones: [a]}\n  api:\n    azur: \
         {}\n",
        &[
            "f:3:12 [gcp] this build has no provider `gcp` -> build meshvm with `--features gcp`",
            "f:6:5 [aws] this build has no provider `aws` -> build meshvm with `--features aws`",
            "f:7:3 [api] the fleet `api` has no provider -> add one block of `sim`, `other`",
            "f:8:5 [azur] unknown field `azur` in fleets.api -> known are `bootstrap`, `external`, \
             `labels`, `membership`, `other`, `protect`, `replicas`, `rollout`, `sim`",
        ],
    );
}

#[test]
fn wrong_types() {
    assert_fleet_problems(
        "replicas: three\nprotect: yes\nlabels: [a]\nbootstrap:\n  run: restart\n  packages: \
         [{a: b}, null]\n  files:\n    - {path: /a, content: 12, mode: 0644}\nrollout: {minReady: \
         30, maxSurge: [1], maxUnavailable: 1.5}",
        &[
            "f:6:15 [three] expected an integer, found string \"three\" -> How many machines; 1 \
             when absent.",
            "f:7:14 [yes] expected true or false, found string \"yes\" -> write true: YAML 1.2 \
             knows no other word for it",
            "f:8:5 [labels] expected a map, found a list -> The user's own labels on the \
             machines; keys must not start with \"meshvm-\".",
            "f:10:12 [restart] expected a list, found string \"restart\" -> write a list: \
             [\"restart\"]",
            "f:11:18 [{a: b}] expected a string, found a map",
            "f:11:26 [null] expected a string, found nothing",
            "f:13:31 [12] expected a string, found integer 12 -> put it in quotes: \"12\"",
            "f:13:41 [0644] expected a string, found integer 0644 -> put it in quotes: \"0644\"",
            "f:14:25 [30] expected a string, found integer 30 -> A duration such as 30s, 10m or \
             1h30m.",
            "f:14:29 [maxSurge] expected an integer or a string, found a list -> A count such as \
             2, or a percentage such as 25%.",
            "f:14:60 [1.5] expected an integer or a string, found number 1.5 -> A count such as \
             2, or a percentage such as 25%.",
        ],
    );
}

#[test]
fn quotes_that_are_too_many() {
    assert_fleet_problems(
        "replicas: \"3\"\nprotect: 'true'",
        &[
            "f:6:15 [\"3\"] expected an integer, found string \"3\" -> write it without quotes: 3",
            "f:7:14 ['true'] expected true or false, found string \"true\" -> write it without \
             quotes: true",
        ],
    );
}

#[test]
fn missing_fields() {
    assert_found(
        &inputs(&[(
            "f",
            "apiVersion: meshvm/v1\nsidecar:\nmesh: {manifests: {}}\nfleets:\n  web:\n    sim: {}\n    \
             membership: {namespace: vm}\n    bootstrap:\n      files:\n        - content: |\n            \
             hello\n",
        )]),
        &[
            "f:1:1 [] missing field `stack` at the top of the file -> add `stack`: The owner of \
             everything made from this file: a label on every object.",
            "f:3:8 [manifests] missing field `path` in mesh.manifests -> add `path`: The folder; \
             a relative path starts at the folder of the first fleet file.",
            "f:6:5 [sim] missing field `image` in fleets.web.sim -> add `image`: The image to boot.",
            "f:7:5 [membership] missing field `serviceAccount` in fleets.web.membership -> add \
             `serviceAccount`: The service account whose identity the machines have; with `create: false`, one that is there already.",
            "f:10:11 [content: |] missing field `path` in fleets.web.bootstrap.files.0 -> add \
             `path`: The absolute path.",
        ],
    );
}

#[test]
fn words_from_a_list() {
    assert_problems(
        "identity: non\nsidecar:\n  version: '1'\n  packages:\n    - {format: dep, arch: arm46, \
         path: a, sha256: abc}\nfleets:\n  web:\n    sim: {image: x, disk: {size: 1, kind: hdd}}\n",
        &[
            "f:3:11 [non] expected one of `none`, a map with `serviceAccountToken`, found string \
             \"non\" -> did you mean `none`?",
            "f:7:16 [dep] expected one of `deb`, `rpm`, found string \"dep\" -> did you mean `deb`?",
            "f:7:27 [arm46] expected one of `amd64`, `arm64`, found string \"arm46\" -> did you \
             mean `arm64`?",
            "f:7:51 [abc] string \"abc\" does not match ^[0-9a-f]{64}$ -> The SHA-256 of the \
             package, hexadecimal; the machine refuses any other.",
            "f:10:43 [hdd] expected one of `ssd`, `rust`, found string \"hdd\"",
        ],
    );
}

#[test]
fn patterns() {
    assert_problems(
        "fleets:\n  Web_1: {sim: {image: x}}\n  -: {sim: {image: x}}\n  web:\n    sim: {image: x, \
         memory: 12}\n    rollout: {minReady: soon, maxSurge: 120%}\n    membership: {namespace: \
         VM, serviceAccount: ''}\n",
        &[
            "f:4:3 [Web_1] string \"Web_1\" does not match ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ -> \
             A name: 1 to 40 of a-z, 0-9 and -, starting with a letter and not ending with -.",
            "f:5:3 [-] string \"-\" does not match ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ -> A name: \
             1 to 40 of a-z, 0-9 and -, starting with a letter and not ending with -.",
            "f:7:29 [12] expected a string, found integer 12 -> The memory, such as 512MiB.",
            "f:8:25 [soon] string \"soon\" does not match ^([0-9]+(ms|s|m|h|d) ?)+$ -> A duration \
             such as 30s, 10m or 1h30m.",
            "f:8:41 [120%] string \"120%\" does not match ^(100|[0-9]{1,2})%$ -> A count such as \
             2, or a percentage such as 25%.",
            "f:9:29 [VM] string \"VM\" does not match ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ -> A name: \
             1 to 63 of a-z, 0-9 and - and not ending with -.",
            "f:9:49 [''] string \"\" does not match ^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$ -> A name: \
             1 to 63 of a-z, 0-9 and - and not ending with -.",
        ],
    );
}

#[test]
fn ranges() {
    assert_fleet_problems(
        "replicas: 100001\nmembership:\n  namespace: vm\n  serviceAccount: a\n  ports: {a: 0, b: \
         65536}\n  weight: 5000000000\n  service: {ports: []}\n  probe: {periodSeconds: -1}",
        &[
            "f:6:15 [100001] expected at most 100000, found integer 100001 -> How many machines; \
             1 when absent.",
            "f:10:18 [0] expected at least 1, found integer 0 -> A TCP or UDP port, 1 to 65535.",
            "f:10:24 [65536] expected at most 65535, found integer 65536 -> A TCP or UDP port, 1 \
             to 65535.",
            "f:11:15 [5000000000] expected at most 4294967295, found integer 5000000000 -> The \
             load-balancing weight of each machine.",
            "f:12:17 [ports] expected at least 1 item in the list -> The Service's ports.",
            "f:13:30 [-1] expected at least 0, found integer -1 -> Seconds between checks.",
        ],
    );
}

#[test]
fn a_choice_is_explained_by_the_branch_that_was_meant() {
    let fleet = |from: &str| format!("fleets: {{web: {{sim: {{image: x, from: {from}}}}}}}\n");
    assert_problems(
        &fleet("{store: {url: 1}}"),
        &["f:3:52 [1] expected a string, found integer 1 -> put it in quotes: \"1\""],
    );
    assert_problems(
        &fleet("{store: {}}"),
        &[
            "f:3:39 [store] missing field `url` in fleets.web.sim.from.store -> add `url`: Its \
           address.",
        ],
    );
    assert_problems(
        &fleet("{store: {url: a, x: 1}, extra: 2}"),
        &[
            "f:3:55 [x] unknown field `x` in fleets.web.sim.from.store -> known are `url`",
            "f:3:62 [extra] unknown field `extra` in fleets.web.sim.from -> known are `store`",
        ],
    );
    assert_problems(
        &fleet("{stor: {}}"),
        &[
            "f:3:32 [from] `from` must have exactly one of `store`, `folder` -> did you mean \
           `store`?",
        ],
    );
    assert_problems(
        &fleet("{store: {url: a}, folder: {path: b}}"),
        &[
            "f:3:32 [from] `from` must have exactly one of `store`, `folder` -> Where an image comes \
           from.",
        ],
    );
    assert_problems(
        &fleet("here"),
        &[
            "f:3:38 [here] expected one of `none`, a map with `store`, a map with `folder`, found \
           string \"here\"",
        ],
    );
}

#[test]
fn a_mesh_needs_a_backend() {
    assert_problems(
        "mesh: {}\n",
        &[
            "f:3:1 [mesh] `mesh` must have exactly one of `manifests`, `kubernetes` -> Where membership is written. \
           Exactly one backend.",
        ],
    );
    assert_problems(
        "mesh: {kubernetes: {}, manifests: {path: a}}\n",
        &[
            "f:3:1 [mesh] `mesh` must have exactly one of `manifests`, `kubernetes` -> Where membership is written. \
           Exactly one backend.",
        ],
    );
}

#[test]
fn what_only_the_type_refuses_has_its_place_too() {
    assert_fleet_problems(
        "rollout: {minReady: 99999999999999999999999s}",
        &["f:6:25 [99999999999999999999999s] invalid value: string \
           \"99999999999999999999999s\", expected a duration such as 30s, 10m or 1h30m"],
    );
}

#[test]
fn one_broken_fleet_does_not_hide_the_mistakes_of_another() {
    assert_problems(
        "ledger: ftp://x\nfleets:\n  a:\n    sim: {image: none}\n    replicas: x\n    labels: {A: \
         b}\n  b:\n    sim: {image: x, zones: [q]}\n    rollout: {maxSurge: 0}\n",
        &[
            "f:3:9 [ftp://x] a ledger cannot be at `ftp://` -> known are `file`, `memory`, `s3`, \
             `gs`, `az`",
            "f:6:18 [none] there is no such image",
            "f:7:15 [x] expected an integer, found string \"x\" -> How many machines; 1 when \
             absent.",
            "f:8:14 [A] `A` cannot be the key of a machine's label -> write 1 to 63 of a-z, 0-9, \
             _ and -, beginning with a letter",
            "f:10:29 [q] there is no zone `q` -> zones begin with z",
            "f:11:25 [0] with `maxSurge` and `maxUnavailable` both 0 no machine can be replaced \
             -> allow one of them at least 1",
        ],
    );
}

#[test]
fn sections_of_the_wrong_kind() {
    assert_problems(
        "fleets: [a]\ndefaults: 1\nbudgets: all\n",
        &[
            "f:3:1 [fleets] expected a map, found a list -> The fleets, by name.",
            "f:4:11 [1] expected a map, found integer 1 -> A fleet: N interchangeable machines \
             from one template. Beside these fields it has exactly one provider's block, under \
             the provider's name.",
            "f:5:10 [all] expected a map, found string \"all\" -> The most machines that one run \
             may destroy or replace; more is refused before the first call.",
        ],
    );
    assert_problems(
        "fleets: {web: 3, api: }\n",
        &[
            "f:3:15 [3] expected a map, found integer 3 -> A fleet: N interchangeable machines \
             from one template. Beside these fields it has exactly one provider's block, under \
             the provider's name.",
            "f:3:18 [api] the fleet `api` has no provider -> add one block of `sim`, `other`",
        ],
    );
}

#[test]
fn the_version_is_known() {
    assert_found(
        &inputs(&[("f", &HEAD.replace("v1", "v2"))]),
        &[
            "f:1:13 [meshvm/v2] expected `meshvm/v1`, found string \"meshvm/v2\" -> did you mean \
           `meshvm/v1`?",
        ],
    );
}
