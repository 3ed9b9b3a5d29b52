//! Lists: tags, repositories, referrers.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::json;

use super::answer::{self, Reply};
use super::request::Query;
use super::{App, blocking};
use crate::digest::Digest;
use crate::error::Error;
use crate::manifest::OCI_INDEX;
use crate::name::RepositoryName;

/// The longest page, whatever is asked for; a `Link` leads on.
const LONGEST_PAGE: usize = 10_000;
/// How many referrers one page has. With annotations they are long, and clients expect a page below 4 MiB.
const REFERRERS_PAGE: usize = 200;

/// What a client asks of a list.
struct Page {
    size: usize,
    after: String,
    asked: bool,
}

impl Page {
    fn parse(query: &Query) -> Result<Page, Error> {
        let after = query.get("last").unwrap_or_default().to_owned();
        let Some(text) = query.get("n") else { return Ok(Page { size: LONGEST_PAGE, after, asked: false }) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits || text.len() > 20 {
            return Err(Error::PageSizeInvalid(text.chars().take(40).collect()));
        }
        let size = text.parse::<u64>().map_or(LONGEST_PAGE, |n| n.min(LONGEST_PAGE as u64) as usize);
        Ok(Page { size, after, asked: true })
    }
}

/// `GET /v2/<name>/tags/list`
pub async fn tags(app: &Arc<App>, repository: RepositoryName, query: &Query) -> Result<Reply, Error> {
    let page = Page::parse(query)?;
    let (owner, name, after, limit) = (Arc::clone(app), repository.clone(), page.after.clone(), page.size + 1);
    let tags = blocking(move || owner.repositories.tags(&name, &after, limit)).await?;
    let path = format!("/v2/{repository}/tags/list");
    Ok(paged(tags, &page, &path, |tags| json!({ "name": repository.as_str(), "tags": tags })))
}

/// `GET /v2/_catalog`
pub async fn catalog(app: &Arc<App>, query: &Query) -> Result<Reply, Error> {
    let page = Page::parse(query)?;
    let (owner, after, limit) = (Arc::clone(app), page.after.clone(), page.size + 1);
    let names = blocking(move || owner.repositories.catalog(&after, limit)).await?;
    Ok(paged(names, &page, "/v2/_catalog", |names| json!({ "repositories": names })))
}

/// One page of `names`, which has one more than the page if there are more.
fn paged(mut names: Vec<String>, page: &Page, path: &str, body: impl Fn(&[String]) -> serde_json::Value) -> Reply {
    let more = names.len() > page.size;
    names.truncate(page.size);
    let mut reply = answer::json(StatusCode::OK, &body(&names));
    if let (true, Some(last)) = (more, names.last()) {
        let last: String = url::form_urlencoded::byte_serialize(last.as_bytes()).collect();
        let size = if page.asked { format!("n={}&", page.size) } else { String::new() };
        answer::set_next_page(&mut reply, &format!("{path}?{size}last={last}"));
    }
    reply
}

/// `GET /v2/<name>/referrers/<digest>`
pub async fn referrers(
    app: &Arc<App>,
    repository: RepositoryName,
    subject: Digest,
    query: &Query,
) -> Result<Reply, Error> {
    let filter = query.get("artifactType").filter(|text| !text.is_empty()).map(str::to_owned);
    let after = query.get("last").unwrap_or_default().to_owned();
    let (owner, name, of) = (Arc::clone(app), repository.clone(), subject.clone());
    let mut found = blocking(move || owner.repositories.referrers(&name, &of, &after, REFERRERS_PAGE)).await?;
    let next = (found.len() >= REFERRERS_PAGE).then(|| found[REFERRERS_PAGE - 1].digest.hex().to_owned());
    if let Some(wanted) = &filter {
        found.retain(|descriptor| descriptor.artifact_type.as_ref() == Some(wanted));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found });
    let mut reply = answer::typed(StatusCode::OK, OCI_INDEX, index.to_string());
    let mut parameters = String::new();
    if let Some(wanted) = &filter {
        answer::set(&mut reply, answer::FILTERS_APPLIED, "artifactType");
        let wanted: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        parameters = format!("artifactType={wanted}&");
    }
    if let Some(last) = next {
        let path = format!("/v2/{repository}/referrers/{subject}?{parameters}last={last}");
        answer::set_next_page(&mut reply, &path);
    }
    Ok(reply)
}
