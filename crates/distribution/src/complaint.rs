//! What registries and token endpoints say about an error.

use reqwest::Response;
use serde_json::Value;

/// How much of an answer is read to find its message.
const READ: usize = 64 << 10;
/// How much of a text that is no JSON is shown.
const SHOWN: usize = 500;

/// The message of an answer: that of the specification's JSON, of the other forms in use, or its text.
pub(crate) async fn of(mut response: Response) -> String {
    let reason = response.status().canonical_reason().unwrap_or("no reason given");
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > READ {
            break;
        }
    }
    let text = match serde_json::from_slice::<Value>(&bytes) {
        Ok(document) => message(&document).unwrap_or_default(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if text.trim().is_empty() { reason.to_owned() } else { text.trim().to_owned() }
}

/// `errors` of the specification; `error` or `message` of Quay, `details` of Docker Hub's token endpoint,
/// `error_description` of OAuth 2.
fn message(document: &Value) -> Option<String> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(errors) = document.get("errors").and_then(Value::as_array) {
        let one = |error: &Value| match (text(error, "code"), text(error, "message").filter(|text| !text.is_empty())) {
            (Some(code), Some(message)) => Some(format!("{message} ({code})")),
            (code, message) => message.or(code),
        };
        return Some(errors.iter().filter_map(one).collect::<Vec<_>>().join("; "));
    }
    let names = ["error_description", "message", "error_message", "details", "detail", "error"];
    names.into_iter().find_map(|name| text(document, name).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_forms_of_registries_are_understood() {
        for (document, expected) in [
            (json!({ "errors": [{ "code": "DENIED", "message": "no" }, { "code": "X" }] }), "no (DENIED); X"),
            (json!({ "details": "incorrect username or password" }), "incorrect username or password"),
            (json!({ "error": "Invalid Username or Password" }), "Invalid Username or Password"),
            (json!({ "error": "invalid_grant", "error_description": "expired" }), "expired"),
            (json!({ "message": "slow down", "status": 429 }), "slow down"),
        ] {
            assert_eq!(message(&document).as_deref(), Some(expected));
        }
        assert_eq!(message(&json!([1])), None);
    }
}
