use registry::digest::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::serving::{OCI_INDEX, OCI_MANIFEST, Serving, code, header, image};

async fn get(serving: &Serving, path: &str) -> Value {
    serving.send("GET", path).await.json().await.unwrap()
}

#[tokio::test]
async fn tags_page_by_page() {
    let serving = Serving::start().await;
    let missing = serving.send("GET", "/v2/a/tags/list").await;
    assert_eq!((missing.status().as_u16(), code(missing).await), (404, "NAME_UNKNOWN".into()));
    let config = serving.push_blob("a", b"{}").await;
    for tag in ["b", "A", "a.1", "a-1", "_", "10", "2"] {
        assert_eq!(serving.put_manifest("a", tag, OCI_MANIFEST, &image(&config, 2, "")).await.status(), 201);
    }
    let sorted = json!(["10", "2", "A", "_", "a-1", "a.1", "b"]);
    assert_eq!(get(&serving, "/v2/a/tags/list").await, json!({ "name": "a", "tags": sorted }));
    let page = serving.send("GET", "/v2/a/tags/list?n=3").await;
    assert_eq!(header(&page, "link"), "</v2/a/tags/list?n=3&last=A>; rel=\"next\"");
    assert_eq!(get(&serving, "/v2/a/tags/list?n=3&last=A").await["tags"], json!(["_", "a-1", "a.1"]));
    let last = serving.send("GET", "/v2/a/tags/list?n=3&last=a.1").await;
    assert_eq!(header(&last, "link"), "");
    assert_eq!(get(&serving, "/v2/a/tags/list?last=zzz").await["tags"], json!([]));
    let none = serving.send("GET", "/v2/a/tags/list?n=0").await;
    assert_eq!(
        (header(&none, "link"), none.json::<Value>().await.unwrap()["tags"].clone()),
        (String::new(), json!([]))
    );
    for n in ["2147483648", "4611686018427387904", "99999999999999999999"] {
        assert_eq!(get(&serving, &format!("/v2/a/tags/list?n={n}")).await["tags"], sorted, "{n}");
    }
    for n in ["-1", "abc", "", "1e3"] {
        assert_eq!(serving.send("GET", &format!("/v2/a/tags/list?n={n}")).await.status(), 400, "{n}");
    }
}

#[tokio::test]
async fn repositories_in_order() {
    let serving = Serving::start().await;
    for name in ["a/b", "a-b", "a", "z", "a.b"] {
        serving.push_image(name, "t").await;
    }
    assert_eq!(get(&serving, "/v2/_catalog").await["repositories"], json!(["a", "a-b", "a.b", "a/b", "z"]));
    assert_eq!(get(&serving, "/v2/_catalog?n=2&last=a.b").await["repositories"], json!(["a/b", "z"]));
    let page = serving.send("GET", "/").await.text().await.unwrap();
    assert!(page.contains("<td>a/b<td><code>t</code>"), "{page}");
    assert!(serving.send("GET", "/metrics").await.text().await.unwrap().contains("registry_requests_total"));
    assert_eq!(serving.send("GET", "/healthz").await.text().await.unwrap(), "ok\n");
}

#[tokio::test]
async fn referrers_come_with_their_manifests_and_go_with_them() {
    let serving = Serving::start().await;
    let (subject_bytes, subject) = serving.push_image("a", "v1").await;
    let config = serving.push_blob("a", b"{}").await;
    let about =
        format!(r#""subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":{}}}"#, subject_bytes.len());
    let signature = image(&config, 2, &format!(r#","artifactType":"x/sig","annotations":{{"k":"v"}},{about}"#));
    let sbom = image(&config, 2, &format!(",{about}"));
    let mut digests = Vec::new();
    for manifest in [&signature, &sbom] {
        let digest = Digest::of(Algorithm::Sha256, manifest.as_bytes());
        let response = serving.put_manifest("a", digest.as_str(), OCI_MANIFEST, manifest).await;
        assert_eq!((response.status().as_u16(), header(&response, "oci-subject")), (201, subject.to_string()));
        digests.push(digest);
    }
    let path = format!("/v2/a/referrers/{subject}");
    let all = serving.send("GET", &path).await;
    assert_eq!(header(&all, "content-type"), OCI_INDEX);
    assert_eq!(all.json::<Value>().await.unwrap()["manifests"].as_array().unwrap().len(), 2);
    let filtered = serving.send("GET", &format!("{path}?artifactType=x/sig")).await;
    assert_eq!(header(&filtered, "oci-filters-applied"), "artifactType");
    let filtered: Value = filtered.json().await.unwrap();
    let expected = json!([{ "mediaType": OCI_MANIFEST, "digest": digests[0], "size": signature.len(), "artifactType": "x/sig", "annotations": { "k": "v" } }]);
    assert_eq!(filtered["manifests"], expected);
    let by_config = get(&serving, &format!("{path}?artifactType=application/vnd.oci.image.config.v1%2Bjson")).await;
    assert_eq!(by_config["manifests"][0]["digest"], json!(digests[1]));
    serving.send("DELETE", &format!("/v2/a/manifests/{}", digests[0])).await;
    assert_eq!(get(&serving, &path).await["manifests"].as_array().unwrap().len(), 1);
    let nobody = Digest::of(Algorithm::Sha256, b"nobody");
    assert_eq!(get(&serving, &format!("/v2/new/referrers/{nobody}")).await["manifests"], json!([]));
    assert_eq!(serving.send("GET", "/v2/a/referrers/x").await.status(), 400);
}

#[tokio::test]
async fn referrers_under_the_fallback_tag_are_listed() {
    let serving = Serving::start().await;
    let (bytes, old) = serving.push_image("a", "signature").await;
    let subject = Digest::of(Algorithm::Sha256, b"subject");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{OCI_MANIFEST}","digest":"{old}","size":{},"artifactType":"x/old"}}]}}"#,
        bytes.len()
    );
    let tag = format!("sha256-{}", subject.hex());
    assert_eq!(serving.put_manifest("a", &tag, OCI_INDEX, &index).await.status(), 201);
    let found = get(&serving, &format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(found["manifests"][0]["artifactType"], "x/old");
}
