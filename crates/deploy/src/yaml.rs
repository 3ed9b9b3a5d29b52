//! YAML documents that every reader takes the same way.

use serde_json::Value;

use crate::render::RenderError;

/// Several documents in one text, separated by `---`. Texts that YAML 1.1 would read as something else (`no`, `0o17`,
/// `1e3`) are quoted, since the tools that read manifests are of both versions.
pub(crate) fn documents(values: &[Value]) -> Result<String, RenderError> {
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push_str("---\n");
        }
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        let document = serde_saphyr::to_string_with_options(value, options)
            .map_err(|error| RenderError::Yaml(error.to_string()))?;
        text.push_str(&document);
        if !document.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_1_1_reads_otherwise_is_quoted() {
        for text in [
            "y",
            "n",
            "on",
            "off",
            "yes",
            "no",
            "1e3",
            "0o17",
            "0777",
            "1_000",
            "0x1F",
            "null",
            "~",
            "",
            "1.0",
            "12:30:45",
            "2001-01-01",
            "true",
            "- a",
            "a: b",
            "#x",
            "*x",
            "&x",
            "!x",
            "%x",
            "@x",
            "`x",
            "line\nbreak",
            " lead",
            "trail ",
        ] {
            let yaml = documents(&[serde_json::json!({ "v": text })]).unwrap();
            let value = yaml.trim_end().strip_prefix("v: ").unwrap_or_else(|| panic!("{yaml}"));
            assert!(value.starts_with(['"', '\'']), "{text:?} is written as {value}");
        }
    }
}
