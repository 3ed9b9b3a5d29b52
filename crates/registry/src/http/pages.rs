//! What is not the distribution API: the token endpoint, health, metrics and a page for people.

use std::fmt::Write;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL};
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::json;

use super::answer::{self, Reply};
use super::request::{Query, collect, header};
use super::{App, blocking};
use crate::auth::{Credentials, basic};
use crate::error::Error;

/// The longest form that the token endpoint reads.
const LONGEST_FORM: usize = 64 * 1024;
/// How many repositories the status page shows.
const SHOWN_REPOSITORIES: usize = 200;
/// How many tags it shows for each.
const SHOWN_TAGS: usize = 20;

/// `GET /token` (Docker's token specification) and `POST /token` (OAuth2's password grant).
pub async fn token(
    app: &Arc<App>,
    method: &Method,
    query: Query,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Reply, Error> {
    let given = header(headers, AUTHORIZATION).and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")).and_then(|(_, value)| basic(value));
    let (given, scopes) = if *method == Method::POST {
        let form = collect(&mut body, LONGEST_FORM).await?.unwrap_or_default();
        let form = Query::parse(Some(&String::from_utf8_lossy(&form)));
        let by_form = match (form.get("username"), form.get("password")) {
            (Some(user), Some(password)) => Some(Credentials { user: user.into(), password: password.into() }),
            _ => given,
        };
        (by_form, form.all("scope").map(str::to_owned).collect::<Vec<_>>())
    } else {
        (given, query.all("scope").map(str::to_owned).collect())
    };
    let app = Arc::clone(app);
    let issued = blocking(move || app.auth.issue(given.as_ref(), &scopes)).await?;
    let answer = json!({ "token": issued.token, "access_token": issued.token, "expires_in": issued.expires_in });
    let mut reply = answer::json(StatusCode::OK, &answer);
    answer::set(&mut reply, CACHE_CONTROL, "no-store");
    Ok(reply)
}

/// `GET /healthz`: whether the storage answers.
pub async fn health(app: &Arc<App>) -> Result<Reply, Error> {
    let app = Arc::clone(app);
    blocking(move || app.repositories.catalog("", 1)).await?;
    Ok(answer::typed(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"))
}

/// `GET /metrics` in the Prometheus text format.
pub fn metrics(app: &Arc<App>) -> Reply {
    let text = app.metrics.render(app.uploads.open_sessions(), app.webhooks.queued());
    answer::typed(StatusCode::OK, "text/plain; version=0.0.4", text)
}

/// `GET /`: repositories and tags.
pub async fn status(app: &Arc<App>, host: &str) -> Result<Reply, Error> {
    let owner = Arc::clone(app);
    let listed = blocking(move || {
        let names = owner.repositories.catalog("", SHOWN_REPOSITORIES + 1)?;
        names
            .into_iter()
            .map(|name| {
                let tags = owner.repositories.tags(&name.parse()?, "", SHOWN_TAGS + 1)?;
                Ok((name, tags))
            })
            .collect::<Result<Vec<_>, Error>>()
    })
    .await?;
    let mut reply = answer::typed(StatusCode::OK, "text/html; charset=utf-8", page(&listed, host));
    let policy = hyper::header::CONTENT_SECURITY_POLICY;
    answer::set(&mut reply, policy, "default-src 'none'; style-src 'unsafe-inline'");
    Ok(reply)
}

fn page(listed: &[(String, Vec<String>)], host: &str) -> String {
    let host = escape(host);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Registry {host}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>body{{font:16px/1.5 system-ui,sans-serif;\
         max-width:60rem;margin:2rem auto;padding:0 1rem}}table{{border-collapse:collapse;width:100%}}\
         th,td{{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #8884;vertical-align:top}}\
         code{{background:#8882;padding:.1rem .3rem;border-radius:.2rem}}\
         @media(prefers-color-scheme:dark){{body{{background:#111;color:#ddd}}}}</style>\
         <h1>Registry {host}</h1>"
    );
    if listed.is_empty() {
        let _ = write!(html, "<p>Nothing has been pushed yet. <code>wharf push TARGET {host}/NAME:TAG</code></p>");
        return html;
    }
    html.push_str("<table><tr><th>Repository<th>Tags</tr>");
    for (name, tags) in listed.iter().take(SHOWN_REPOSITORIES) {
        let _ = write!(html, "<tr><td>{}<td>", escape(name));
        for tag in tags.iter().take(SHOWN_TAGS) {
            let _ = write!(html, "<code>{}</code> ", escape(tag));
        }
        html.push_str(if tags.len() > SHOWN_TAGS { "and more</tr>" } else { "</tr>" });
    }
    html.push_str("</table>");
    if listed.len() > SHOWN_REPOSITORIES {
        html.push_str("<p>There are more; <code>/v2/_catalog</code> lists all.</p>");
    }
    html
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
