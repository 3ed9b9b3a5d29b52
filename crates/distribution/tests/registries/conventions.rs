//! What Docker Hub and Quay do beyond the specification, replayed from exchanges that follow their documentation.

use distribution::{Client, Credential, Error, Settings};
use store::progress::Silent;

use crate::exchange::{Exchange, Replay};
use crate::peer::settings;

const HUB_HELLO: Exchange = Exchange {
    at: "hub",
    request: "GET /v2/",
    with: &["!authorization"],
    answer: r#"401 Unauthorized
        content-type: application/json
        docker-distribution-api-version: registry/2.0
        www-authenticate: Bearer realm="http://{auth}/token",service="registry.docker.io"

{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":null}]}"#,
};
const HUB_TOKEN: Exchange = Exchange {
    at: "auth",
    request: "GET /token?service=registry.docker.io&scope=repository:library/alpine:pull&client_id=wharf",
    with: &["!authorization"],
    answer: r#"200 OK
        content-type: application/json

{"token":"t1","access_token":"t1","expires_in":300,"issued_at":"2024-01-01T00:00:00Z"}"#,
};
/// `{}`, which is its own configuration here.
const CONFIG: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const INDEX: &str = r#"200 OK
        content-type: application/vnd.oci.image.index.v1+json
        docker-ratelimit-source: 192.0.2.1
        ratelimit-limit: 100;w=21600
        ratelimit-remaining: 76;w=21600

{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:27477147e31f5df68de3f2fe4953e8ad147b71a2b7f6a5be7b38a0e5a3bcb0ce","size":246,"platform":{"architecture":"amd64","os":"linux"}}]}"#;
const MANIFEST_BODY: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;

fn anonymous(replay: &Replay, location: &str, name: &str) -> Client {
    let mut settings = settings();
    settings.registries.conf = replay.instead_of(location, name);
    Client::new(settings)
}

fn account(host: &str, credential: Credential) -> Settings {
    let mut settings = settings();
    settings.credentials.insert(host.to_owned(), credential);
    settings
}

fn password() -> Credential {
    Credential::Password { user: "me".into(), password: "secret".into() }
}

fn leaked(text: impl Into<String>) -> &'static str {
    Box::leak(text.into().into_boxed_str())
}

#[tokio::test]
async fn docker_hub_gives_tokens_elsewhere_counts_pulls_and_redirects_blobs() {
    let digest = distribution::Digest::of(MANIFEST_BODY.as_bytes()).to_string();
    let index = INDEX.replace("sha256:27477147e31f5df68de3f2fe4953e8ad147b71a2b7f6a5be7b38a0e5a3bcb0ce", &digest);
    let bearer = &["authorization: Bearer t1"];
    let manifest = "200 OK\ncontent-type: application/vnd.oci.image.manifest.v1+json\n\n";
    let replay = Replay::start(
        &["hub", "auth", "cdn"],
        &[
            HUB_HELLO,
            HUB_TOKEN,
            Exchange {
                at: "hub",
                request: "GET /v2/library/alpine/manifests/3.20",
                with: bearer,
                answer: leaked(index),
            },
            Exchange {
                at: "hub",
                request: leaked(format!("GET /v2/library/alpine/manifests/{digest}")),
                with: bearer,
                answer: leaked(format!("{manifest}{MANIFEST_BODY}")),
            },
            Exchange {
                at: "hub",
                request: leaked(format!("GET /v2/library/alpine/blobs/{CONFIG}")),
                with: bearer,
                answer: "307 Temporary Redirect\nlocation: http://{cdn}/registry-v2/data?verify=x\n\n",
            },
            Exchange {
                at: "cdn",
                request: "GET /registry-v2/data?verify=x",
                with: &["!authorization", "!t1"],
                answer: "200 OK\n\n{}",
            },
        ],
    );
    let client = anonymous(&replay, "docker.io", "hub");
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    let pulled = client.pull(&"alpine:3.20".parse().unwrap(), &crate::linux(), &out, None, &Silent).await;
    replay.is_done();
    assert_eq!(pulled.unwrap().manifest.to_string(), digest);
    let limit = client.rate_limits().into_values().next().unwrap().to_string();
    assert_eq!(limit, "76 of 100 requests are left for 6 hours, counted for 192.0.2.1");
}

#[tokio::test]
async fn docker_hub_s_limit_is_said_with_its_numbers() {
    const LIMITED: Exchange = Exchange {
        at: "hub",
        request: "GET /v2/library/alpine/manifests/3.20",
        with: &[],
        answer: r#"429 Too Many Requests
        retry-after: 0
        docker-ratelimit-source: 192.0.2.1
        ratelimit-limit: 100;w=21600
        ratelimit-remaining: 0;w=21600

{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#,
    };
    // As many attempts as the settings allow.
    let replay = Replay::start(&["hub", "auth"], &[HUB_HELLO, HUB_TOKEN, LIMITED, LIMITED, LIMITED]);
    let error = anonymous(&replay, "docker.io", "hub").resolve(&"alpine:3.20".parse().unwrap()).await.unwrap_err();
    replay.is_done();
    let said = error.to_string();
    for part in ["429", "You have reached your pull rate limit. (TOOMANYREQUESTS)", "0 of 100", "for 192.0.2.1"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

const QUAY_HELLO: Exchange = Exchange {
    at: "quay",
    request: "GET /v2/",
    with: &[],
    answer: "401 Unauthorized\nwww-authenticate: Bearer realm=\"http://{quay}/v2/auth\",service=\"quay.io\"\n\ntrue",
};

#[tokio::test]
async fn quay_gives_a_token_only_and_says_no_in_its_own_ways() {
    const NO: &str = r#"401 Unauthorized
        content-type: application/json
        www-authenticate: Bearer realm="http://{quay}/v2/auth",service="quay.io",scope="repository:team/app:pull"

{"errors":[{"code":"UNAUTHORIZED","detail":{},"message":"access to the requested resource is not authorized"}]}"#;
    const TOKEN: Exchange = Exchange {
        at: "quay",
        request: "GET /v2/auth?service=quay.io&scope=repository:team/app:pull&account=me&client_id=wharf",
        with: &["authorization: Basic bWU6c2VjcmV0"],
        answer: "200 OK\n\n{\"token\":\"jwt\"}",
    };
    const ASK: Exchange = Exchange {
        at: "quay",
        request: "GET /v2/team/app/manifests/1",
        with: &["authorization: Bearer jwt"],
        answer: NO,
    };
    // A token that is refused is asked for once more: it may have been taken back.
    let replay = Replay::start(&["quay"], &[QUAY_HELLO, TOKEN, ASK, TOKEN, ASK]);
    let host = replay.host("quay").to_owned();
    let reference = format!("{host}/team/app:1").parse().unwrap();
    let error = Client::new(account(&host, password())).resolve(&reference).await.unwrap_err();
    replay.is_done();
    let said = error.to_string();
    assert!(matches!(error, Error::Unauthorized { .. }), "{said}");
    assert!(said.contains("not authorized (UNAUTHORIZED) (as me)") && !said.contains("secret"), "{said}");

    let wrong = Exchange { answer: "401 Unauthorized\n\n{\"error\":\"Invalid Username or Password\"}", ..TOKEN };
    let replay = Replay::start(&["quay"], &[QUAY_HELLO, wrong]);
    let host = replay.host("quay").to_owned();
    let reference = format!("{host}/team/app:1").parse().unwrap();
    let said = Client::new(account(&host, password())).resolve(&reference).await.unwrap_err().to_string();
    replay.is_done();
    assert!(said.contains("401 Unauthorized: Invalid Username or Password"), "{said}");
}

#[tokio::test]
async fn tokens_are_asked_for_as_the_endpoint_takes_it() {
    let hello = "401 Unauthorized\nwww-authenticate: Bearer realm=\"http://{r}/t\",service=\"s\"\n\n";
    let manifest =
        leaked(format!("200 OK\ncontent-type: application/vnd.oci.image.manifest.v1+json\n\n{MANIFEST_BODY}"));
    let start = Exchange { at: "r", request: "GET /v2/", with: &[], answer: hello };
    let end =
        Exchange { at: "r", request: "GET /v2/a/manifests/1", with: &["authorization: Bearer x"], answer: manifest };
    let get = "GET /t?service=s&scope=repository:a:pull&account=me&client_id=wharf";
    // An identity token is only taken by POST; some endpoints take passwords only so; a busy one is asked again.
    let cases: [(Credential, &[Exchange]); 3] = [
        (
            Credential::RefreshToken("identity".into()),
            &[Exchange {
                at: "r",
                request: "POST /t",
                with: &["grant_type=refresh_token&refresh_token=identity", "service=s", "scope=repository%3Aa%3Apull"],
                answer: "200 OK\n\n{\"access_token\":\"x\",\"expires_in\":3600}",
            }],
        ),
        (
            password(),
            &[
                Exchange { at: "r", request: get, with: &[], answer: "405 Method Not Allowed\n\n" },
                Exchange {
                    at: "r",
                    request: "POST /t",
                    with: &["grant_type=password&username=me&password=secret", "!authorization"],
                    answer: "200 OK\n\n{\"access_token\":\"x\"}",
                },
            ],
        ),
        (
            password(),
            &[
                Exchange { at: "r", request: get, with: &[], answer: "429 Too Many Requests\nretry-after: 0\n\n" },
                Exchange { at: "r", request: get, with: &[], answer: "200 OK\n\n{\"token\":\"x\"}" },
            ],
        ),
    ];
    for (credential, exchanges) in cases {
        let all: Vec<Exchange> = [&[start], exchanges, &[end]].concat();
        let replay = Replay::start(&["r"], &all);
        let host = replay.host("r").to_owned();
        let resolved = Client::new(account(&host, credential)).resolve(&format!("{host}/a:1").parse().unwrap()).await;
        replay.is_done();
        resolved.unwrap();
    }
}

#[tokio::test]
async fn a_token_endpoint_elsewhere_without_tls_gets_no_password() {
    let hello = "401 Unauthorized\nwww-authenticate: Bearer realm=\"http://auth.example.org/t\",service=\"s\"\n\n";
    let replay = Replay::start(&["r"], &[Exchange { at: "r", request: "GET /v2/", with: &[], answer: hello }]);
    let host = replay.host("r").to_owned();
    let asked = Client::new(account(&host, password())).resolve(&format!("{host}/a:1").parse().unwrap()).await;
    replay.is_done();
    assert!(asked.unwrap_err().to_string().contains("on another host and has no TLS"));
}

#[tokio::test]
async fn a_longer_pause_is_kept_when_it_is_asked_for() {
    let busy = "503 Service Unavailable\nretry-after: 1\n\n";
    let manifest =
        leaked(format!("200 OK\ncontent-type: application/vnd.oci.image.manifest.v1+json\n\n{MANIFEST_BODY}"));
    let request = "GET /v2/a/manifests/1";
    let replay = Replay::start(
        &["r"],
        &[
            Exchange { at: "r", request: "GET /v2/", with: &[], answer: "200 OK\n\n{}" },
            Exchange { at: "r", request, with: &[], answer: busy },
            Exchange { at: "r", request, with: &[], answer: manifest },
        ],
    );
    let mut settings = settings();
    settings.retries.longest_pause = std::time::Duration::from_secs(5);
    let begun = std::time::Instant::now();
    let asked = Client::new(settings).resolve(&format!("{}/a:1", replay.host("r")).parse().unwrap()).await;
    replay.is_done();
    asked.unwrap();
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
}
