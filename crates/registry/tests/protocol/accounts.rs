use serde_json::Value;

use crate::serving::{Serving, header};

async fn with_accounts(more: &str) -> (Serving, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("ann:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let config = format!("[storage]\ndelete = true\n[auth]\nhtpasswd = {:?}\n{more}", file.path());
    (Serving::with(&config).await, file)
}

/// A token for a scope, as the account or as nobody.
async fn token(serving: &Serving, scope: &str, account: bool) -> Option<String> {
    let request = serving.request("GET", &format!("/token?service=x&scope={scope}"));
    let request = if account { request.basic_auth("ann", Some("secret")) } else { request };
    let response = request.send().await.unwrap();
    let json: Value = response.error_for_status().ok()?.json().await.unwrap();
    Some(json["token"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_address_asks_who_is_there() {
    let (serving, _file) = with_accounts("").await;
    let digest = format!("sha256:{}", "a".repeat(64));
    let id = "00000000-0000-4000-8000-000000000000";
    let mut routes = vec![
        ("GET", "/v2/".to_owned()),
        ("GET", "/v2/_catalog".into()),
        ("GET", "/".into()),
        ("GET", "/metrics".into()),
    ];
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        routes.push((method, "/v2/a/manifests/x".into()));
        routes.push((method, format!("/v2/a/manifests/{digest}")));
        routes.push((method, format!("/v2/a/blobs/{digest}")));
    }
    for method in ["GET", "PATCH", "PUT", "DELETE"] {
        routes.push((method, format!("/v2/a/blobs/uploads/{id}")));
    }
    routes.extend([("POST", "/v2/a/blobs/uploads/".into()), ("GET", "/v2/a/tags/list".into())]);
    routes.push(("GET", format!("/v2/a/referrers/{digest}")));
    for (method, path) in routes {
        let response = serving.send(method, &path).await;
        let challenge = header(&response, "www-authenticate");
        assert_eq!(response.status(), 401, "{method} {path}");
        let realm = format!("Bearer realm=\"http://{0}/token\",service=\"{0}\"", serving.host);
        assert!(challenge.starts_with(&realm), "{method} {path}: {challenge}");
        assert_eq!(challenge.contains("scope=\"repository:a:"), path.starts_with("/v2/a/"), "{challenge}");
        assert_eq!(header(&response, "docker-distribution-api-version"), "registry/2.0");
        let wrong = serving.request(method, &path).basic_auth("ann", Some("wrong")).send().await.unwrap();
        assert_eq!(wrong.status(), 401, "{method} {path}");
        let forged = serving.request(method, &path).bearer_auth("eyJ1c2VyIjoiYW5uIn0.AAAA").send().await.unwrap();
        assert_eq!(forged.status(), 401, "{method} {path}");
    }
    assert_eq!(serving.send("GET", "/healthz").await.status(), 200);
    let known = serving.request("GET", "/v2/").basic_auth("ann", Some("secret")).send().await.unwrap();
    assert_eq!(known.status(), 200);
}

#[tokio::test]
async fn a_token_opens_what_it_was_asked_for() {
    let (serving, file) = with_accounts("").await;
    assert!(token(&serving, "repository:a:pull", false).await.is_none());
    let pull = token(&serving, "repository:a:pull", true).await.unwrap();
    let push = token(&serving, "repository:a:push,pull", true).await.unwrap();
    let start = |token: &str| serving.request("POST", "/v2/a/blobs/uploads/").bearer_auth(token).send();
    assert_eq!(start(&pull).await.unwrap().status(), 401);
    assert_eq!(start(&push).await.unwrap().status(), 202);
    let elsewhere = serving.request("POST", "/v2/b/blobs/uploads/").bearer_auth(&push).send().await.unwrap();
    assert_eq!(elsewhere.status(), 401);
    assert_eq!(serving.request("GET", "/v2/").bearer_auth(&pull).send().await.unwrap().status(), 200);
    let form = "grant_type=password&username=ann&password=secret&service=x&scope=repository:a:push";
    let request = serving.request("POST", "/token").header("content-type", "application/x-www-form-urlencoded");
    let json: Value = request.body(form).send().await.unwrap().json().await.unwrap();
    assert_eq!(start(json["access_token"].as_str().unwrap()).await.unwrap().status(), 202);
    std::fs::write(file.path(), "# nobody is left\n").unwrap();
    assert_eq!(start(&push).await.unwrap().status(), 401, "the account is gone");
}

#[tokio::test]
async fn anybody_may_pull_where_that_is_allowed() {
    let (serving, _file) = with_accounts("anonymous_pull = true\n").await;
    assert_eq!(serving.send("GET", "/v2/a/tags/list").await.status(), 404);
    assert_eq!(serving.send("GET", "/v2/").await.status(), 401, "or clients would never authenticate");
    let nobody = token(&serving, "repository:a:pull,push", false).await.unwrap();
    let list = serving.request("GET", "/v2/a/tags/list").bearer_auth(&nobody).send().await.unwrap();
    assert_eq!(list.status(), 404);
    let push = serving.request("POST", "/v2/a/blobs/uploads/").bearer_auth(&nobody).send().await.unwrap();
    assert_eq!(push.status(), 401);
    assert_eq!(serving.send("GET", "/v2/_catalog").await.status(), 401);
}
